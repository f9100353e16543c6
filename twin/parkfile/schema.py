"""The schema of ``kind: Park``: what an author may write, and nothing else.

Every quantity is a text with its unit (``45 kW``); in memory it is a float in the canonical unit
of `models.units`. Unknown keys are errors. References between parts are checked in
`twin.parkfile.checks`.
"""

from datetime import date
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from twin.parkfile.quantity import Quantity

Slug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$", description="a-z, 0-9 and _")]
Power = Annotated[float, Quantity("power", low=0)]
Energy = Annotated[float, Quantity("energy", low=0)]
Apparent = Annotated[float, Quantity("apparent_power", low=0)]
Voltage = Annotated[float, Quantity("voltage", low=0)]
Current = Annotated[float, Quantity("current", low=0)]
Duration = Annotated[float, Quantity("duration", low=0)]
Length = Annotated[float, Quantity("length", low=0)]
Area_ = Annotated[float, Quantity("area", low=0)]
Temperature = Annotated[float, Quantity("temperature")]
Angle = Annotated[float, Quantity("angle")]
Mass = Annotated[float, Quantity("mass", low=0)]
MassFlow = Annotated[float, Quantity("mass_flow", low=0)]
VolumeFlow = Annotated[float, Quantity("volume_flow", low=0)]
Volume = Annotated[float, Quantity("volume", low=0)]
Pressure = Annotated[float, Quantity("pressure", low=0)]
Share = Annotated[float, Quantity("ratio", low=0, high=1)]
Shift = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-4]):[0-5]\d$")]


class Strict(BaseModel):
    """Frozen; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Text(Strict):
    """The same text in Vietnamese and English."""

    vi: str = Field(min_length=1)
    en: str = Field(min_length=1)


class Region(Strict):
    """Administrative region: a label, never a rule."""

    id: str
    label: Text


class Geo(Strict):
    """Where the park lies."""

    lat: float = Field(ge=-90, le=90)
    lon: float = Field(ge=-180, le=180)
    area: Area_
    altitude: Length = 20.0


class Holidays(Strict):
    """Dated holidays, and working days that replace some of them."""

    dates: tuple[date, ...] = ()
    swapped_working_days: tuple[date, ...] = ()


class Calendar(Strict):
    """When work is planned: shifts per day, working weekdays (1 Monday … 7 Sunday), holidays."""

    label: Text | None = None
    shifts: tuple[Shift, ...] = Field(min_length=1)
    weekdays: tuple[Annotated[int, Field(ge=1, le=7)], ...] = (1, 2, 3, 4, 5, 6)
    holidays: str | None = Field(None, description="Name of an entry under holidays")
    breaks: tuple[Shift, ...] = ()


class Distribution(Strict):
    """A duration as a distribution."""

    dist: Literal["deterministic", "exponential", "gamma", "lognormal", "weibull", "triangular"]
    mean: Duration | None = None
    cv: float | None = Field(None, gt=0, le=10)
    shape: float | None = Field(None, gt=0)
    scale: Duration | None = None
    low: Duration | None = None
    mode: Duration | None = None
    high: Duration | None = None


class EquipmentClass(Strict):
    """An ISA-95 equipment class: what all machines of a kind share."""

    label: Text
    cycle_time: Duration = Field(description="PRI of ISO 22400: planned run time per item")
    cycle_cv: float = Field(0.1, ge=0, le=3)
    power: dict[str, Power] = Field(
        description="Power per `<MachineryItemState>/<MachineryOperationMode>`"
    )
    energy_per_part: Annotated[float, Quantity("energy_per_part", low=0)] = 0.0
    mtbf: Distribution | None = None
    mttr: Distribution | None = None
    failure: Literal["operation", "time"] = "operation"
    scrap: Share = 0.0
    temperature: Temperature = 45.0
    temperature_limit: Temperature | None = None


class Organisation(Strict):
    """Who takes part."""

    id: Slug
    role: Literal["operator", "tenant", "utility", "regulator", "researcher"]
    label: Text
    sector: str = ""


class ChainItem(Strict):
    """One element of a line: a machine with its type, or a buffer with its spaces."""

    machine: Slug | None = None
    type: str | None = None
    buffer: Slug | None = None
    cap: int | None = Field(
        None, ge=0, le=100_000, description="Spaces between the machines; their own places excluded"
    )
    label: Text | None = None


class Line(Strict):
    """A production line: machines with buffers between them, in the order of the flow."""

    id: Slug
    label: Text
    calendar: str
    product: str
    chain: tuple[ChainItem, ...] = Field(min_length=1)
    plan: Annotated[float, Quantity("rate", low=0)] | None = Field(
        None, description="Planned output, e.g. `90 parts/h`"
    )
    parts_per_pallet: int = Field(48, ge=1)


class Area(Strict):
    """An area of a site."""

    id: Slug
    label: Text
    lines: tuple[Line, ...] = ()


class Site(Strict):
    """A tenant's site with its own meters."""

    id: Slug
    kind: Literal["detailed"] = "detailed"
    label: Text
    owner: Slug
    feeder: Slug
    base_load: Power = Field(0.0, description="Buildings and utilities, all day")
    shift_load: Power = Field(0.0, description="On top of it while a shift works")
    cos_phi: float = Field(0.92, gt=0, le=1)
    map: tuple[int, int] = Field((0, 0), description="Column and row on the park's schematic")
    areas: tuple[Area, ...] = ()


class AggregateSites(Strict):
    """Tenants that are known only together: a profile, a peak and the feeders they hang on."""

    id: Slug
    kind: Literal["aggregate"]
    label: Text
    count: int = Field(ge=1)
    profile: str = Field(description="Name of a load template")
    peak: Power
    cos_phi: float = Field(0.92, gt=0, le=1)
    feeders: tuple[Slug, ...] = Field(min_length=1)
    workers: int = Field(0, ge=0)


def _kind_of_site(value: object) -> str:
    """Tell the two kinds of sites apart; one without ``kind`` is detailed."""
    if isinstance(value, dict):
        return str(value.get("kind", "detailed"))
    return str(getattr(value, "kind", "detailed"))


AnySite = Annotated[
    Annotated[Site, Tag("detailed")] | Annotated[AggregateSites, Tag("aggregate")],
    Discriminator(_kind_of_site),
]


class GridConnection(Strict):
    """The connection to the grid."""

    id: Slug
    voltage: Voltage
    tariff: str = Field(description="Id of a dated tariff")
    customer_class: str = Field("manufacturing", description="Price class inside the tariff")


class Transformer(Strict):
    """A transformer of a substation."""

    id: Slug
    rating: Apparent


class Feeder(Strict):
    """A medium-voltage feeder."""

    id: Slug
    rating: Current
    transformer: Slug


class Substation(Strict):
    """A substation with its transformers in parallel and its feeders."""

    id: Slug
    label: Text
    transformers: tuple[Transformer, ...] = Field(min_length=1)
    feeder_voltage: Voltage
    feeders: tuple[Feeder, ...] = Field(min_length=1)


class Pv(Strict):
    """A solar roof."""

    id: Slug
    label: Text | None = None
    feeder: Slug
    site: Slug | None = None
    peak: Annotated[float, Quantity("peak_power", low=0)]
    inverter: Power | None = None
    tilt: Angle = 10.0
    azimuth: Angle = 180.0
    strings: int = Field(1, ge=1)


class Bess(Strict):
    """A battery at the station."""

    id: Slug
    label: Text | None = None
    feeder: Slug
    power: Power
    energy: Energy
    soc: tuple[float, float] = (0.1, 0.95)
    round_trip_efficiency: float = Field(0.88, gt=0, le=1)
    rule: Literal["peak_shaving", "time_of_use", "self_consumption", "idle"] = "time_of_use"


class Electricity(Strict):
    """The park's electricity."""

    connection: GridConnection
    substations: tuple[Substation, ...] = Field(min_length=1)
    pv: tuple[Pv, ...] = ()
    bess: tuple[Bess, ...] = ()
    emission_factor: str = "vn_grid"


class Boiler(Strict):
    """A steam boiler."""

    id: Slug
    label: Text | None = None
    site: Slug | None = None
    steam: MassFlow
    pressure: Pressure
    fuel: str


class WastewaterPlant(Strict):
    """A wastewater treatment plant."""

    id: Slug
    label: Text | None = None
    capacity: VolumeFlow
    pond: Volume = 0.0
    cod_limit: float = Field(75.0, gt=0, description="mg/L at the outlet")


class Utilities(Strict):
    """All utilities of the park."""

    electricity: Electricity
    boilers: tuple[Boiler, ...] = ()
    wastewater: tuple[WastewaterPlant, ...] = ()


class Gate(Strict):
    """A gate with its lanes."""

    id: Slug
    label: Text | None = None
    lanes: int = Field(ge=1, le=64)
    service: Duration
    service_cv: float = Field(0.5, ge=0, le=3)
    road_storage: int = Field(20, ge=0, description="Vehicles that fit between gate and road")


class Yard(Strict):
    """A truck or container yard."""

    id: Slug
    label: Text | None = None
    slots: int = Field(ge=1)


class Dock(Strict):
    """Loading docks of a site."""

    id: Slug
    site: Slug
    count: int = Field(1, ge=1, le=64)
    handling: Duration = 2400.0


class Berth(Strict):
    """A barge berth; the vessel's size class is mandatory."""

    id: Slug
    label: Text | None = None
    vessel: Mass
    handling: MassFlow


class Siding(Strict):
    """A rail siding."""

    id: Slug
    label: Text | None = None
    wagons: int = Field(ge=1)


class Link(Strict):
    """A transport link."""

    source: Slug
    target: str
    mode: Literal["road", "rail", "water"]
    length: Length
    capacity: Annotated[float, Quantity("rate", low=0)] | None = None
    vessel: Mass | None = None


class TruckDemand(Strict):
    """Trucks of a day, and the share of them in each hour of it."""

    per_day: Annotated[float, Quantity("rate", low=0)]
    profile: str = "industrial_trucks"


class Logistics(Strict):
    """Gates, yards, docks, berths, sidings and links."""

    gates: tuple[Gate, ...] = ()
    yards: tuple[Yard, ...] = ()
    docks: tuple[Dock, ...] = ()
    berths: tuple[Berth, ...] = ()
    sidings: tuple[Siding, ...] = ()
    links: tuple[Link, ...] = ()
    trucks: TruckDemand | None = None


class Stream(Strict):
    """A by-product or utility a site gives or takes."""

    site: Slug
    direction: Literal["out", "in"]
    medium: str
    grade: str = ""
    rate: str
    status: Literal["existing", "proposed"] = "proposed"


class Symbiosis(Strict):
    """Streams between tenants."""

    streams: tuple[Stream, ...] = ()


DEADBAND: Final = r"^$|^\d+(\.\d+)?\s?%?$"
"""A number in the source's unit, or a percentage of its range."""


Role = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,47}$", description="e.g. operator")]
MethodNodes = Annotated[
    str, Field(pattern=r"^(nsu=[^;]+;)?[isgb]=.+ (nsu=[^;]+;)?[isgb]=.+$", max_length=1000)
]
"""``<object> <method>``, both as files write nodes."""


NotifierNode = Annotated[str, Field(pattern=r"^(nsu=[^;]+;)?[isgb]=.+$", max_length=500)]
"""A node that tells events, as files write nodes."""


class Mapping(Strict):
    """Nodes → tag paths. Placeholders in braces stand for the same text on both sides."""

    match: str = Field(
        pattern=r"^(nsu=[^;]+;[isgb]=|path:).+$",
        description="nsu=<URI>;s=… ; a bare ns= index is refused. A rule holds *, or is path:…",
    )
    to: str = Field(
        description="Tag path below the park, e.g. acme/moulding/l1/{machine}/power; `auto` lets "
        "the matcher say, for a rule"
    )
    unit: str | None = Field(None, description="Unit at the source when it differs")
    sampling: Duration | None = None
    publishing: Duration | None = None
    deadband: str = Field(
        "",
        pattern=DEADBAND,
        description="Least change that is sent: in the source's unit, or `2 %` of its range",
    )
    automatic: bool = Field(
        default=False,
        description="For a rule: nodes it takes later are bound by themselves, not only told",
    )
    writable_by: tuple[Role, ...] = Field(
        (), description="Roles that may write these nodes; nobody when left out. Not for rules"
    )


REFERENCE: Final = r"^$|^(env|file|keyring):.+$"
"""Where a secret is; never the secret itself."""


class Endpoint(Strict):
    """An OPC UA endpoint and what is read from it."""

    id: Slug
    label: Text | None = None
    url: str = Field(pattern=r"^opc\.tcp://[^\s/@]+:\d+(/\S*)?$")
    security: str = Field("None", description="None, or <Policy>/<Sign|SignAndEncrypt>")
    allow_insecure: bool = Field(default=False, description="Needed for security None")
    user: str = ""
    password: str = Field("", pattern=REFERENCE, description="By reference only")
    user_certificate: str = Field("", pattern=REFERENCE, description="Of a user without a name")
    user_key: str = Field("", pattern=REFERENCE, description="Key of that certificate")
    gateway: str = Field(
        "",
        pattern=r"^([a-z][a-z0-9_.-]{0,47})?$",
        description="Name of the gateway in the plant that reads it; empty: the service itself",
    )
    time_policy: Literal["source", "server", "receive"] = "source"
    sampling: Duration = 1.0
    publishing: Duration = 1.0
    bridge: Duration = Field(10.0, description="Outage the server's queues should hold")
    spares: tuple[str, ...] = Field((), description="Addresses of redundant servers")
    redundancy: Literal["cold", "warm", "hot"] = "cold"
    events: tuple[NotifierNode, ...] = Field(
        (), description="Notifiers: nsu=<URI>;…, or i=2253 for the server itself"
    )
    callable_by: dict[MethodNodes, tuple[Role, ...]] = Field(
        default={},
        description="`<object> <method>` → roles that may call it; nobody when left out",
    )
    heartbeat: str = Field(
        "",
        pattern=r"^$|^(nsu=[^;]+;)?[isgb]=.+$",
        description="Node of the device behind the server that changes while the device lives",
    )
    heartbeat_within: Duration = Field(60.0, description="It changes at least this often")
    reverse: bool = Field(
        default=False,
        description="The server connects to the gateway, which listens (PARKTWIN_OPCUA_REVERSE)",
    )
    rules_every: Duration = Field(
        3600.0,
        ge=0,
        description="How often rules of `map` are looked at again for nodes added since; "
        "`0 s`: only when somebody asks",
    )
    map: tuple[Mapping, ...] = ()


class Kpis(Strict):
    """KPIs: below `min_good` a KPI is uncertain, never silently zero."""

    min_good: Share = 0.9


class Rule(Strict):
    """An alarm rule: a figure or tag metric against a limit, with delays and a deadband."""

    id: Slug
    when: str = Field(
        description="<figure or asset type>.<name> <|<=|>|>=|==|!= limit, e.g. "
        "`station.n1_loading_pct > 120`, `machine.temperature > 85 degC`, `endpoint.alive == 0`"
    )
    on_delay: Duration = 0.0
    off_delay: Duration = 0.0
    deadband: float = Field(0.0, ge=0)
    priority: Literal["critical", "high", "medium", "low"]
    label: Text
    group: str = Field("", description="Cause group; members of an active cause are suppressed")


class Fault(Strict):
    """A planted, labelled fault of the virtual plant."""

    at: Duration = Field(description="After the plant's start")
    kind: Literal[
        "cycle_drift",
        "breakdown",
        "meter_stuck",
        "string_lost",
        "transformer_trip",
        "clock_offset",
        "frozen_good",
    ]
    target: str = Field(description="Asset id, or endpoint id for clock_offset and frozen_good")
    size: float = Field(0.0, description="Drift as a fraction, strings lost, offset in hours")
    until: Duration | None = None


class VirtualPlant(Strict):
    """The plant that stands in for hardware: real OPC UA servers with hidden true parameters."""

    enabled: bool = True
    seed: int = 7
    servers: tuple["PlantServer", ...] = ()
    faults: tuple[Fault, ...] = ()


class PlantServer(Strict):
    """One server process: the endpoint it plays and the layout of its address space."""

    endpoint: Slug
    layout: Literal["machinery", "flat", "utility"] = "machinery"
    namespaces: tuple[str, ...] = Field(
        (), description="Namespace URIs in the server's order; extra ones shift the indexes"
    )


class ParkFile(Strict):
    """A park: ``kind: Park``."""

    apiVersion: Literal["parktwin/v1"]  # noqa: N815 - the key as it is written in the file
    kind: Literal["Park"]
    id: Slug
    label: Text
    region: Region
    tz: str
    geo: Geo
    holidays: dict[str, Holidays] = {}
    calendars: dict[str, Calendar] = {}
    types: dict[str, EquipmentClass] = {}
    organisations: tuple[Organisation, ...] = ()
    sites: tuple[AnySite, ...] = ()
    utilities: Utilities
    logistics: Logistics = Logistics()
    symbiosis: Symbiosis = Symbiosis()
    endpoints: tuple[Endpoint, ...] = ()
    kpis: Kpis = Kpis()
    rules: tuple[Rule, ...] = ()
    virtual_plant: VirtualPlant | None = None


VirtualPlant.model_rebuild()
