// node server.js PORT PKI_FOLDER URI...: an OPC UA server nobody here wrote.
// Each namespace has Count (grows every 20 ms), Big (UInt64), Bad (a sensor failure), Name, List,
// and Level (grows every 20 ms, of a range of 200).
const {
  OPCUAServer, OPCUACertificateManager, Variant, DataType, StatusCodes,
  MessageSecurityMode, SecurityPolicy, VariantArrayType,
} = require("node-opcua");

async function main() {
  const [port, folder, ...uris] = process.argv.slice(2);
  const certificates = new OPCUACertificateManager({
    rootFolder: folder, automaticallyAcceptUnknownCertificate: true,
  });
  await certificates.initialize();
  const server = new OPCUAServer({
    port: Number(port),
    hostname: "127.0.0.1",
    resourcePath: "/floor",
    serverCertificateManager: certificates,
    serverInfo: { applicationUri: "urn:floor:node", productUri: "urn:floor" },
    securityModes: [MessageSecurityMode.None, MessageSecurityMode.SignAndEncrypt],
    securityPolicies: [
      SecurityPolicy.None, SecurityPolicy.Basic256Sha256,
      SecurityPolicy.Aes128_Sha256_RsaOaep, SecurityPolicy.Aes256_Sha256_RsaPss,
    ],
  });
  await server.initialize();
  const space = server.engine.addressSpace;
  uris.forEach((uri) => {
    const own = space.registerNamespace(uri);
    const base = 1000 * (uri.charCodeAt(uri.length - 1) - 96);
    const add = (name, dataType, more) => own.addVariable({
      organizedBy: space.rootFolder.objects, browseName: name, nodeId: `s=${name}`,
      dataType, minimumSamplingInterval: 10, ...more,
    });
    const count = add("Count", "Double");
    let n = base;
    count.setValueFromSource({ dataType: DataType.Double, value: n }, StatusCodes.Good, new Date());
    setInterval(() => {
      n += 0.001;
      count.setValueFromSource({ dataType: DataType.Double, value: n }, StatusCodes.Good, new Date());
    }, 20);
    add("Big", "UInt64").setValueFromSource(
      { dataType: DataType.UInt64, arrayType: VariantArrayType.Scalar, value: [0x00200000, 1] }, StatusCodes.Good,
      new Date(Date.UTC(2026, 10, 22, 3, 4, 5, 678)));
    add("Bad", "Double").setValueFromSource(
      { dataType: DataType.Double, value: 3 }, StatusCodes.BadSensorFailure, new Date());
    add("Name", "String").setValueFromSource(
      { dataType: DataType.String, value: "Máy ép" }, StatusCodes.Good, new Date());
    const level = own.addAnalogDataItem({
      organizedBy: space.rootFolder.objects, browseName: "Level", nodeId: "s=Level",
      dataType: "Double", minimumSamplingInterval: 10, engineeringUnitsRange: { low: 0, high: 200 },
    });
    let at = 0;
    setInterval(() => {
      at += 1;
      level.setValueFromSource({ dataType: DataType.Double, value: at }, StatusCodes.Good, new Date());
    }, 20);
    add("List", "Double", { valueRank: 1, arrayDimensions: [2] }).setValueFromSource({
      dataType: DataType.Double, arrayType: VariantArrayType.Array, value: new Float64Array([1, 2]),
    }, StatusCodes.Good, new Date());
  });
  await server.start();
  console.log("ready");
  process.on("SIGTERM", async () => { await server.shutdown(0); process.exit(0); });
}

main().catch((fault) => { console.error(fault); process.exit(1); });
