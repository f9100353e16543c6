// node secure.js PORT FOLDER [CLOCK_SECONDS [CLIENTS]]: a server that takes only whom it knows.
// Users: reader with password "đúng", and by certificate. Certificates (DER) are trusted by a line
// "users FILE" or "pki FILE" on its input: its watch of the folders may miss what comes at once.
// V stands still, Count grows every 20 ms. CLOCK_SECONDS shifts its clock. It connects itself to each
// of CLIENTS (opc.tcp://host:port, between commas) and says so in a ReverseHello.
const shift = 1000 * Number(process.argv[4] || 0);
if (shift) {
  const Real = Date;
  global.Date = class extends Real {
    constructor(...given) { if (given.length) super(...given); else super(Real.now() + shift); }
    static now() { return Real.now() + shift; }
  };
}
const {
  OPCUAServer, OPCUACertificateManager, DataType, StatusCodes, MessageSecurityMode, SecurityPolicy,
} = require("node-opcua");

async function manager(rootFolder) {
  const made = new OPCUACertificateManager({
    rootFolder, automaticallyAcceptUnknownCertificate: false,
  });
  await made.initialize();
  return made;
}

function obey(managers) {
  const lines = require("readline").createInterface({ input: process.stdin });
  lines.on("line", async (line) => {
    const at = line.indexOf(" ");
    await managers[line.slice(0, at)].trustCertificate(require("fs").readFileSync(line.slice(at + 1)));
  });
}

async function main() {
  const [port, folder] = process.argv.slice(2);
  const clients = (process.argv[5] || "").split(",").filter(Boolean);
  const managers = { pki: await manager(`${folder}/pki`), users: await manager(`${folder}/users`) };
  const server = new OPCUAServer({
    port: Number(port),
    hostname: "127.0.0.1",
    resourcePath: "/floor",
    serverCertificateManager: managers.pki,
    userCertificateManager: managers.users,
    serverInfo: { applicationUri: "urn:floor:secure", productUri: "urn:floor" },
    securityModes: [MessageSecurityMode.Sign, MessageSecurityMode.SignAndEncrypt],
    securityPolicies: [
      SecurityPolicy.Basic256Sha256,
      SecurityPolicy.Aes128_Sha256_RsaOaep, SecurityPolicy.Aes256_Sha256_RsaPss,
    ],
    allowAnonymous: false,
    reverseConnect: {
      connections: clients.map((endpointUrl) => ({ endpointUrl })),
      reconnectDelay: 100, maxReconnectDelay: 500,
    },
    userManager: { isValidUser: (user, password) => user === "reader" && password === "đúng" },
  });
  await server.initialize();
  const own = server.engine.addressSpace.registerNamespace("urn:a");
  own.addVariable({
    organizedBy: server.engine.addressSpace.rootFolder.objects,
    browseName: "V", nodeId: "s=V", dataType: "Double", minimumSamplingInterval: 10,
  }).setValueFromSource({ dataType: DataType.Double, value: 7.5 }, StatusCodes.Good, new Date());
  const count = own.addVariable({
    organizedBy: server.engine.addressSpace.rootFolder.objects,
    browseName: "Count", nodeId: "s=Count", dataType: "Double", minimumSamplingInterval: 10,
  });
  let n = 0;
  const next = () => count.setValueFromSource(
    { dataType: DataType.Double, value: n++ }, StatusCodes.Good, new Date());
  next();
  setInterval(next, 20);
  await server.start();
  obey(managers);
  console.log("ready");
}

main().catch((fault) => { console.error(fault); process.exit(1); });
