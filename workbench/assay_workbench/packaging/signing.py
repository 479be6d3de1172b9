"""Signs artifacts by OpenSSF model-signing in key mode, as the model server verifies them."""

from collections.abc import Callable
from pathlib import Path

from assay_workbench.errors import WorkbenchError


def signer(key: Path) -> Callable[[Path, Path], None]:
    """Return what signs a file into another one with a private key in PEM.

    The key is read now, so that a wrong one is found before anything is made. Raises
    `WorkbenchError`.
    """
    try:
        import model_signing  # noqa: PLC0415 - brings sigstore, which few need
    except ImportError:
        raise WorkbenchError("--sign-key: needs model-signing: pip install model-signing") from None
    try:
        config = model_signing.signing.Config()  # type: ignore[no-untyped-call]
        config.use_elliptic_key_signer(private_key=key)
    except OSError as error:
        raise WorkbenchError(f"--sign-key: {key}: {error.strerror}") from None
    except (ValueError, TypeError) as error:
        raise WorkbenchError(
            f"--sign-key: {key}: is no private key (ECDSA, in PEM, without a password): {error}"
        ) from None

    def sign(path: Path, signature: Path) -> None:
        try:
            config.sign(path, signature)
        except Exception as error:
            raise WorkbenchError(f"--sign-key: {key}: cannot sign with it: {error}") from error

    return sign


def placed(
    path: Path, target: Path, sign: Callable[[Path, Path], None] | None
) -> tuple[Path, Path | None]:
    """Give an artifact its name, and its signature before it: an artifact is never without.

    A signature of what had the name before goes. Raises `WorkbenchError`.

    Parameters
    ----------
    path
        The artifact, in a directory of its own on the file system of `target`.
    sign
        From `signer`; `None` signs nothing.

    Returns
    -------
    tuple
        Where the artifact is and where its signature is, if it has one.
    """
    signature = target.with_name(f"{target.name}.sig")
    if sign is None:
        signature.unlink(missing_ok=True)
        path.replace(target)
        return target, None
    # A signature names the file that it is of.
    named = path.with_name(target.name)
    path.replace(named)
    made = named.with_name(signature.name)
    sign(named, made)
    made.replace(signature)
    named.replace(target)
    return target, signature
