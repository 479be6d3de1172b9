"""What must be so in every state: the tools agree with each other, and with what a person would say."""

from typing import Any

from tests.unit.gitops import argocd, flux, kstatus

_BY_HEALTH = {
    "Healthy": {"Current"},
    "Degraded": {"Failed"},
    "Progressing": {"InProgress"},
    "Suspended": {"InProgress"},
    "Unknown": {"InProgress"},
}


def disagreements(document: dict[str, Any]) -> list[str]:
    """Return what is wrong with the verdicts on a ModelDeployment at which the operator has looked."""
    said = {item["type"]: item["status"] for item in document["status"]["conditions"]}
    argo, general, expressed = (
        argocd.health(document)[0],
        kstatus.compute(document),
        flux.compute(document),
    )
    outage = argo == "Degraded" and said["Available"] == "False" and general == "InProgress"
    rules = {
        "Argo CD and kstatus agree, but for an outage in a trial": outage
        or general in _BY_HEALTH[argo],
        "Flux fails what kstatus fails, and nothing else": (expressed == "Failed")
        == (general == "Failed"),
        "what is current for kstatus is for Flux": general != "Current" or expressed == "Current",
        "healthy: what Git names serves, and answers": argo != "Healthy"
        or (said["Promoted"], said["Available"]) == ("True", "True"),
        "current for Flux: something answers": expressed != "Current"
        or said["Available"] == "True",
        "failed: somebody is needed": (general == "Failed") == (said.get("Stalled") == "True"),
        "never both": {"Stalled", "Reconciling"} - said.keys() != set(),
    }
    return [rule for rule, holds in rules.items() if not holds]
