"""The fakes by the names of the dialects they speak, which are those of `poll=...`."""

from __future__ import annotations

from dfnb.errors import DefinitionError, nearest
from dfnb.testing import fake_azure, fake_hosts, fake_standards
from dfnb.testing.fake_dialects import Dialect

DIALECTS: dict[str, Dialect] = {
    "location": Dialect(),
    "durable-functions": fake_azure.DurableFunctions(),
    "hdinsight": Dialect(),
    "logic-apps": Dialect(),
    "azure-arm": fake_azure.AzureArm(),
    "azure-data-plane": fake_azure.AzureDataPlane(),
    "operation-location": fake_azure.AzureDataPlane(),
    "fabric": fake_azure.Fabric(),
    "graph": fake_azure.Graph(),
    "odata": fake_standards.OData(),
    "fhir-bulk": fake_standards.FhirBulk(),
    "ogc-processes": fake_standards.OgcProcesses(),
    "openeo": fake_standards.OpenEo(),
    "snowflake": fake_hosts.Snowflake(),
    "google-lro": fake_hosts.GoogleLro(),
    "github-statistics": fake_hosts.GithubStatistics(),
    "redfish": fake_standards.Redfish(),
    "see-other": fake_standards.SeeOther(),
    "llm-job": fake_hosts.LlmJob(),
}


def dialect_named(name: str) -> Dialect:
    """The fake of that name; DefinitionError with the nearest one if there is none."""
    found = DIALECTS.get(name)
    if found is None:
        close = nearest(name, DIALECTS)
        hint = f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(DIALECTS)}"
        raise DefinitionError(f"no dialect is named {name!r}; {hint}")
    return found
