"""From the file that a data scientist has to an artifact that Assay serves.

`trained` opens it, `fidelity` shows that the artifact says the same, `manifest` writes the
ModelDeployment, `package` does one after the other.
"""
