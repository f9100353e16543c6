// node many.js PORT PKI_FOLDER NODES: an OPC UA server with many nodes, for crawls.
// Folders of 99 variables each, ten folders to a folder; every third variable has unit and range.
const { OPCUAServer, OPCUACertificateManager, DataType, MessageSecurityMode, SecurityPolicy } = require("node-opcua");

async function main() {
  const [port, folder, count] = process.argv.slice(2);
  const certificates = new OPCUACertificateManager({ rootFolder: folder, automaticallyAcceptUnknownCertificate: true });
  await certificates.initialize();
  const server = new OPCUAServer({
    port: Number(port), hostname: "127.0.0.1", resourcePath: "/crawl", serverCertificateManager: certificates,
    serverInfo: { applicationUri: "urn:floor:many", productUri: "urn:floor" },
    securityModes: [MessageSecurityMode.None], securityPolicies: [SecurityPolicy.None],
  });
  await server.initialize();
  const space = server.engine.addressSpace;
  const own = space.registerNamespace("urn:parktwin:crawl");
  const parents = [space.rootFolder.objects];
  const kilowatt = { namespaceUri: "http://www.opcfoundation.org/UA/units/un/cefact", unitId: 4937556, displayName: "kW", description: "kW" };
  for (let f = 0; f < Math.max(1, Number(count) / 100); f += 1) {
    const here = own.addFolder(parents[Math.floor(f / 10)], { browseName: `F${f}`, nodeId: `s=F${f}` });
    parents.push(here);
    for (let n = 0; n < 99; n += 1) {
      const options = { componentOf: here, browseName: `V${n}`, nodeId: `s=F${f}.V${n}`, dataType: "Double",
        accessLevel: "CurrentRead", userAccessLevel: "CurrentRead", value: { dataType: DataType.Double, value: n } };
      if (n % 3) own.addVariable(options);
      else own.addAnalogDataItem({ ...options, engineeringUnitsRange: { low: 0, high: 200 }, engineeringUnits: kilowatt });
    }
  }
  await server.start();
  console.log("ready");
}

main().catch((fault) => { console.error(fault); process.exit(1); });
