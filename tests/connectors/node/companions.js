// node companions.js: machines built from the companion nodesets, printed as rows of a crawl.
// Each line is one node: the same fields as ../plants/*.jsonl. No sockets: the address space only.
const { AddressSpace, DataType, Variant, VariantArrayType, NodeClass, BrowseDirection } = require("node-opcua");
const { generateAddressSpace } = require("node-opcua-address-space/nodeJS");
const { nodesets } = require("node-opcua-nodesets");
const path = require("path");

const UNITS = { kW: 4937556, W: 5723220, kWh: 4937544, "°C": 4408652, A: 4279632, s: 5457219, "mm/s": 4403510, bar: 4342098 };
const OWN = "urn:lathe-and-sons:plant";

function machinery(space, own, name, optional) {
  const ns = space.getNamespaceIndex("http://opcfoundation.org/UA/Machinery/");
  const machines = space.findNode(`ns=${ns};i=1001`);
  const machine = own.addObject({ browseName: name, organizedBy: machines, nodeId: `s=${name}` });
  const type = (n) => space.findObjectType(n, ns);
  type("MachineIdentificationType").instantiate({ namespace: own,
    browseName: { name: "Identification", namespaceIndex: space.getNamespaceIndex("http://opcfoundation.org/UA/DI/") },
    componentOf: machine, optionals: ["Location", "YearOfConstruction", "DeviceClass"],
  });
  const blocks = own.addObject({ browseName: { name: "MachineryBuildingBlocks", namespaceIndex: ns }, componentOf: machine });
  type("MachineryItemState_StateMachineType").instantiate({ namespace: own,
    browseName: { name: "MachineryItemState", namespaceIndex: ns }, componentOf: blocks, optionals: ["CurrentState.Number"],
  });
  if (optional.mode !== false) {
    type("MachineryOperationModeStateMachineType").instantiate({ namespace: own,
      browseName: { name: "MachineryOperationMode", namespaceIndex: ns }, componentOf: blocks, optionals: ["CurrentState.Number"],
    });
  }
  if (optional.counters) {
    type("MachineryOperationCounterType").instantiate({ namespace: own,
      browseName: { name: "OperationCounters", namespaceIndex: ns }, componentOf: blocks,
      optionals: ["PowerOnDuration", "OperationDuration", "OperationCycleCounter"],
    });
  }
  return machine;
}

function value(own, parent, name, unit, dataType = "Double") {
  const more = { browseName: name, componentOf: parent, dataType };
  const start = { value: new Variant({ dataType: DataType[dataType], value: 1 }) };
  if (!unit) return own.addVariable({ ...more, ...start });
  return own.addAnalogDataItem({
    ...more, ...start, engineeringUnitsRange: { low: 0, high: 100 },
    engineeringUnits: { namespaceUri: "http://www.opcfoundation.org/UA/units/un/cefact", unitId: UNITS[unit], displayName: unit, description: unit },
  });
}

function build(space) {
  const own = space.registerNamespace(OWN);
  const objects = space.rootFolder.objects;
  for (const [n, more] of [[1, { counters: true }], [2, {}], [3, { mode: false }]]) {
    const machine = machinery(space, own, `Lathe L0${n}`, more);
    const folder = own.addObject({ browseName: "Monitoring", componentOf: machine });
    value(own, folder, "ActivePower", "kW");
    value(own, folder, "ActiveEnergy", "kWh");
    value(own, folder, "SpindleTemperature", "°C");
    value(own, folder, "PartsProduced", "", "UInt32");
    value(own, folder, "PartsRejected", "", "UInt32");
  }
  const mt = space.getNamespaceIndex("http://opcfoundation.org/UA/MachineTool/");
  const ns = space.getNamespaceIndex("http://opcfoundation.org/UA/Machinery/");
  const machines = space.findNode(`ns=${ns};i=1001`);
  for (const n of [1, 2]) {
    const mill = space.findObjectType("MachineToolType", mt).instantiate({ namespace: own,
      browseName: `Mill F0${n}`, organizedBy: machines,
      optionals: ["Production.Statistics", "Production.Statistics.PartsProducedInLifetime", "Monitoring.MachineTool",
        "Monitoring.MachineTool.FeedOverride", "Monitoring.MachineTool.PowerOnDuration", "Production.ActiveProgram"],
    });
    const monitoring = mill.getComponentByName("Monitoring", mt) || own.addObject({ browseName: "Monitoring", componentOf: mill });
    value(own, monitoring, "ActivePower", "W");
    value(own, monitoring, "CycleTime", "s");
    const blocks = own.addObject({ browseName: { name: "MachineryBuildingBlocks", namespaceIndex: ns }, componentOf: mill });
    space.findObjectType("MachineryItemState_StateMachineType", ns).instantiate({ namespace: own,
      browseName: { name: "MachineryItemState", namespaceIndex: ns }, componentOf: blocks, optionals: ["CurrentState.Number"],
    });
  }
  const pack = space.getNamespaceIndex("http://opcfoundation.org/UA/PackML/");
  for (const n of [1, 2]) {
    const unit = space.findObjectType("PackMLBaseObjectType", pack).instantiate({ namespace: own,
      browseName: `Filler K0${n}`, organizedBy: objects,
      optionals: ["Status", "Admin", "Status.MachSpeed", "Status.CurMachSpeed", "Status.StateCurrent", "Status.UnitModeCurrent",
        "Admin.AccTimeSinceReset", "Admin.MachDesignSpeed", "Admin.ProdProcessedCount", "Admin.ProdDefectiveCount"],
    });
    const more = own.addObject({ browseName: "Energy", componentOf: unit });
    value(own, more, "Power", "kW");
    value(own, more, "Energy", "kWh");
    value(own, more, "PowerLimit", "kW");
  }
  const isa = space.getNamespaceIndex("http://www.OPCFoundation.org/UA/2013/01/ISA95");
  const equipment = own.addObject({ browseName: "Equipment", organizedBy: objects });
  for (const n of [1, 2]) {
    const type = space.findObjectType("EquipmentType", isa);
    const press = type.instantiate({ namespace: own, browseName: `Press E0${n}`, componentOf: equipment });
    value(own, press, "ActivePower", "kW");
    value(own, press, "ActiveEnergy", "kWh");
    value(own, press, "NominalPower", "kW");
    value(own, press, "Temperature", "°C");
  }
  const di = space.getNamespaceIndex("http://opcfoundation.org/UA/DI/");
  const set = space.findNode(`ns=${di};i=5001`);
  const packer = own.addObjectType({ browseName: "PackerType", subtypeOf: space.findObjectType("DeviceType", di) });
  for (const n of [1, 2]) {
    const device = packer.instantiate({ namespace: own,
      browseName: `Packer D0${n}`, organizedBy: set || objects, optionals: ["ParameterSet", "DeviceHealth"],
    });
    const parameters = device.getComponentByName("ParameterSet", di);
    value(own, parameters, "VibrationVelocity", "mm/s");
    value(own, parameters, "MotorCurrent", "A");
    value(own, parameters, "MotorCurrentLimit", "A");
    value(own, parameters, "ElectronicsTemperature", "°C");
  }
}

function written(space, node) {
  const id = node.value;
  const letter = { 1: "i", 2: "s", 3: "g", 4: "b" }[node.identifierType];
  return `nsu=${space.getNamespaceArray()[node.namespace].namespaceUri};${letter}=${id}`;
}

function read(variable, name) {
  const found = variable.getPropertyByName(name, 0);
  return found ? found.readValue().value.value : null;
}

function row(space, node, here) {
  const found = {
    node: written(space, node.nodeId), path: here, name: node.displayName[0].text || node.browseName.name,
    class: NodeClass[node.nodeClass],
  };
  const type = node.typeDefinitionObj || null;
  if (type) {
    found.type = written(space, type.nodeId);
    found.bases = [];
    for (let up = type.subtypeOfObj; up && up.nodeId.namespace !== 0; up = up.subtypeOfObj) found.bases.push(written(space, up.nodeId));
  }
  if (node.nodeClass !== NodeClass.Variable) return found;
  const kind = space.findDataType(node.dataType);
  let base = kind;
  while (base && base.nodeId.namespace !== 0) base = base.subtypeOfObj;
  const enumeration = kind && space.findDataType("Enumeration") && kind.isSubtypeOf(space.findDataType("Enumeration"));
  found.data_type = enumeration ? "Enumeration" : (base ? base.browseName.name : "");
  found.access = node.accessLevel; found.rank = node.valueRank;
  const unit = read(node, "EngineeringUnits");
  if (unit && unit.displayName) found.unit = { text: unit.displayName.text, id: unit.unitId };
  const range = read(node, "EURange");
  if (range) found.range = [range.low, range.high];
  if (node.description && node.description.text) found.description = node.description.text;
  return found;
}

async function main() {
  const space = AddressSpace.create();
  await generateAddressSpace(space, [nodesets.standard, nodesets.di, nodesets.ia, nodesets.machinery, nodesets.isa95JobControl, nodesets.machineryJobs,
    nodesets.machineTool, nodesets.packML, path.join(path.dirname(nodesets.di), "Opc.ISA95.NodeSet2.xml")].filter(Boolean));
  build(space);
  const out = [], seen = new Set(["ns=0;i=2253"]);
  const walk = (node, above) => {
    for (const reference of node.browseNode({
      browseDirection: BrowseDirection.Forward, includeSubtypes: true, nodeClassMask: 7, resultMask: 63,
      referenceTypeId: "i=33",
    })) {
      const child = space.findNode(reference.nodeId);
      if (!child || seen.has(child.nodeId.toString())) continue;
      seen.add(child.nodeId.toString());
      const own = reference.referenceTypeId.toString() === "ns=0;i=46";
      // Properties are told with their variable; only the numbers of state machines are values.
      if (own && child.browseName.name !== "Number") continue;
      if (child.nodeClass === NodeClass.Method) continue;
      const here = above ? `${above}/${child.displayName[0].text || child.browseName.name}` : child.browseName.name;
      out.push(row(space, child, here));
      walk(child, here);
    }
  };
  walk(space.rootFolder.objects, "");
  out.forEach((one) => console.log(JSON.stringify(one)));
  space.dispose();
  process.exit(0);
}

main().catch((fault) => { console.error(fault); process.exit(1); });
