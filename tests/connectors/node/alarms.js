// node alarms.js PORT PKI_FOLDER: a node-opcua server with a tank whose level has a limit alarm.
// Standard input: `level NUMBER` sets the level, `event TEXT` fires a plain event of the tank,
// `off` and `on` disable and enable the condition.
const readline = require("node:readline");
const {
  OPCUAServer, OPCUACertificateManager, DataType, StatusCodes, MessageSecurityMode, SecurityPolicy,
} = require("node-opcua");

async function main() {
  const [port, folder] = process.argv.slice(2);
  const certificates = new OPCUACertificateManager({
    rootFolder: folder, automaticallyAcceptUnknownCertificate: true,
  });
  await certificates.initialize();
  const server = new OPCUAServer({
    port: Number(port),
    hostname: "127.0.0.1",
    resourcePath: "/floor",
    serverCertificateManager: certificates,
    serverInfo: { applicationUri: "urn:floor:alarms", productUri: "urn:floor" },
    securityModes: [MessageSecurityMode.None],
    securityPolicies: [SecurityPolicy.None],
  });
  await server.initialize();
  const space = server.engine.addressSpace;
  space.installAlarmsAndConditionsService();
  const own = space.registerNamespace("urn:a");
  const tank = own.addObject({
    organizedBy: space.rootFolder.objects, browseName: "Tank", nodeId: "s=Tank",
    notifierOf: space.rootFolder.objects.server, eventNotifier: 1,
  });
  const level = own.addVariable({
    componentOf: tank, eventSourceOf: tank, browseName: "Level", nodeId: "s=Level",
    dataType: "Double", minimumSamplingInterval: 10,
  });
  const set = (value) => level.setValueFromSource(
    { dataType: DataType.Double, value }, StatusCodes.Good, new Date());
  set(50);
  const alarm = own.instantiateExclusiveLimitAlarm("ExclusiveLimitAlarmType", {
    browseName: "LevelAlarm", nodeId: "s=LevelAlarm", componentOf: tank,
    conditionSource: level, inputNode: level, optionals: ["ConfirmedState", "Confirm"],
    lowLowLimit: 10, lowLimit: 20, highLimit: 80, highHighLimit: 90,
  });
  alarm.setEnabledState(true);
  readline.createInterface({ input: process.stdin }).on("line", (line) => {
    const [verb, ...rest] = line.split(" ");
    if (verb === "level") set(Number(rest[0]));
    if (verb === "on" || verb === "off") alarm.setEnabledState(verb === "on");
    if (verb === "event") {
      tank.raiseEvent("BaseEventType", {
        message: { dataType: DataType.LocalizedText, value: { text: rest.join(" ") } },
        severity: { dataType: DataType.UInt16, value: 300 },
      });
    }
    console.log("done", line);
  });
  await server.start();
  console.log("ready");
  process.on("SIGTERM", async () => { await server.shutdown(0); process.exit(0); });
}

main().catch((fault) => { console.error(fault); process.exit(1); });
