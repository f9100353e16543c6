// node scada.js FOLDER: a SCADA client nobody here wrote. Each line of its input is a visit as JSON
// (url, policy, user, password, uri): it browses the park, reads a unit, subscribes and is refused
// changes, and writes what it found as one line of JSON; "subscribed" stands before it.
const {
  OPCUAClient, OPCUACertificateManager, MessageSecurityMode, SecurityPolicy, AttributeIds,
  TimestampsToReturn, DataType, UserTokenType, AddNodesRequest,
} = require("node-opcua");
const MACHINERY = "http://opcfoundation.org/UA/Machinery/";

async function visit(certificates, { url, policy, user, password, uri }) {
  const open = policy === "None";
  const client = OPCUAClient.create({
    applicationName: "scada", applicationUri: "urn:floor:scada",
    clientCertificateManager: certificates,
    endpointMustExist: false,
    securityMode: open ? MessageSecurityMode.None : MessageSecurityMode.SignAndEncrypt,
    securityPolicy: SecurityPolicy[policy],
    connectionStrategy: { maxRetry: 0, initialDelay: 100 },
  });
  try {
    await client.connect(url);
    const identity = { type: UserTokenType.UserName, userName: user, password };
    const session = await client.createSession(user ? identity : undefined);
    const told = await look(session, uri);
    await session.close();
    return told;
  } finally {
    await client.disconnect();
  }
}

async function look(session, uri) {
  const told = {};
  const spaces = await session.readNamespaceArray();
  const node = (text) => `ns=${spaces.indexOf(uri)};s=${text}`;
  const names = async (id) => ((await session.browse(id)).references || [])
    .map((found) => found.browseName.name);
  const value = (id) => session.read({ nodeId: node(id), attributeId: AttributeIds.Value });
  told.objects = await names("ObjectsFolder");
  told.machines = await names(`ns=${spaces.indexOf(MACHINERY)};i=1001`);
  told.park = await names(node("park"));
  const unit = (await value("park/grid_import_mw.EngineeringUnits")).value.value;
  told.unit = [unit.unitId, unit.displayName.text];
  const range = (await value("park/station_loading_pct.EURange")).value.value;
  told.range = [range.low, range.high];
  const read = await value("park/grid_import_mw");
  told.value = read.value.value;
  told.status = read.statusCode.name;
  told.at = read.sourceTimestamp.toISOString();
  told.write = (await session.write({
    nodeId: node("park/grid_import_mw"), attributeId: AttributeIds.Value,
    value: { value: { dataType: DataType.Double, value: 1 } },
  })).name;
  told.call = (await session.call({
    objectId: "i=2253", methodId: "i=11492", inputArguments: [],
  })).statusCode.name;
  told.added = await session.performMessageTransaction(new AddNodesRequest({ nodesToAdd: [] }))
    .then((answer) => answer.responseHeader.serviceResult.name, (fault) => String(fault.message));
  told.seen = await follow(session, node("park/grid_import_mw"));
  return told;
}

async function follow(session, nodeId) {
  const subscription = await session.createSubscription2({
    requestedPublishingInterval: 100, requestedLifetimeCount: 100, requestedMaxKeepAliveCount: 10,
    maxNotificationsPerPublish: 1000, publishingEnabled: true, priority: 1,
  });
  const item = await subscription.monitor(
    { nodeId, attributeId: AttributeIds.Value },
    { samplingInterval: 100, discardOldest: true, queueSize: 10 }, TimestampsToReturn.Both);
  const seen = [];
  await new Promise((done) => {
    item.on("changed", (value) => {
      seen.push(value.value.value);
      if (seen.length === 1) console.log("subscribed");
      if (seen.length >= 3) done();
    });
  });
  await subscription.terminate();
  return seen;
}

async function main() {
  const certificates = new OPCUACertificateManager({
    rootFolder: process.argv[2], automaticallyAcceptUnknownCertificate: true,
  });
  await certificates.initialize();
  for await (const line of require("readline").createInterface({ input: process.stdin })) {
    const told = await visit(certificates, JSON.parse(line))
      .catch((fault) => ({ fault: String(fault.message) }));
    console.log(JSON.stringify(told));
  }
  process.exit(0);
}

main().catch((fault) => { console.error(fault); process.exit(1); });
