// node client.js URL NAMESPACE_INDEX NODES PUBLISHING_MS SAMPLING_MS SECONDS: node-opcua's client
// as its documentation shows it: one callback per value, which counts. Prints one line of JSON.
const {
  OPCUAClient, AttributeIds, TimestampsToReturn, ClientMonitoredItemGroup, MessageSecurityMode,
  SecurityPolicy,
} = require("node-opcua");

const later = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

async function main() {
  const [url, index, nodes, publishing, sampling, seconds] = process.argv.slice(2);
  const client = OPCUAClient.create({
    endpointMustExist: false, keepSessionAlive: false, securityMode: MessageSecurityMode.None,
    securityPolicy: SecurityPolicy.None, requestedSessionTimeout: 600000,
  });
  await client.connect(url);
  const session = await client.createSession();
  const subscription = await session.createSubscription2({
    requestedPublishingInterval: Number(publishing), requestedLifetimeCount: 10000,
    requestedMaxKeepAliveCount: 30, maxNotificationsPerPublish: 0, publishingEnabled: true,
    priority: 1,
  });
  let values = 0;
  for (let first = 1; first <= Number(nodes); first += 1000) {
    const items = [];
    for (let n = first; n < first + 1000 && n <= Number(nodes); n++) {
      items.push({ nodeId: `ns=${index};i=${n}`, attributeId: AttributeIds.Value });
    }
    const group = ClientMonitoredItemGroup.create(
      subscription, items,
      { samplingInterval: Number(sampling), discardOldest: true, queueSize: 10 },
      TimestampsToReturn.Both,
    );
    group.on("changed", () => { values += 1; });
  }
  for (let waited = 0; values < 2 * Number(nodes); waited += 0.05) {
    if (waited > 60) throw new Error("nothing from the server");
    await later(0.05);
  }
  values = 0;
  const began = process.hrtime.bigint();
  const before = process.cpuUsage();
  await later(Number(seconds));
  const spent = process.cpuUsage(before);
  const took = Number(process.hrtime.bigint() - began) / 1e9;
  console.log(JSON.stringify({
    values, seconds: took, cpu_s: (spent.user + spent.system) / 1e6,
  }));
  process.exit(0);
}

main().catch((fault) => { console.error(fault); process.exit(1); });
