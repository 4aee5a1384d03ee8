"""Artifacts: sizes to the byte, all or nothing, and no trust in files."""

import errno
import hashlib
import json
import os
import random
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import nn

from kdgraph import KDEmbedding, PackedEmbedding
from kdgraph.artifact import Artifact, read_artifact
from kdgraph.coders import FixedCoder
from kdgraph.codes import CodeTable, Prefix, random_codes
from kdgraph.composers import ConcatComposer, MLPComposer, RingComposer, SumComposer

Header = dict[str, Any]


def make(num_nodes: int = 20, **kwargs: Any) -> PackedEmbedding:
    """20 nodes with 3 codes below 5: 9 bits, 2 bytes, 7 of them unused."""
    options: dict[str, Any] = {"num_codebooks": 3, "codebook_size": 5, **kwargs}
    return KDEmbedding(num_nodes, 6, coder="fixed", **options).export()


def gnn() -> nn.Module:
    """A model with weights, buffers and a scalar counter."""
    return nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


# --- sizes ---------------------------------------------------------------------------


def test_byte_law_by_hand(tmp_path: Path) -> None:
    """File = codes + codebooks + weights + header, to the byte."""
    encoder = make(1001, num_codebooks=6, codebook_size=[2, 3, 5, 16, 17, 65536])
    weights = gnn().state_dict()
    path = tmp_path / "model.kdg.safetensors"
    encoder.save(path, gnn=weights, metadata={"hidden": 4})
    artifact = read_artifact(path)
    # 1 + 2 + 3 + 4 + 5 + 16 = 31 bits in 4 bytes a node.
    assert artifact.codes_bytes == 1001 * 4
    # 65579 codewords of one float32.
    assert artifact.composer_bytes == (2 + 3 + 5 + 16 + 17 + 65536) * 4
    # Two layers, four vectors of the normalisation, its counter.
    assert artifact.gnn_bytes == 4 * (6 * 4 + 4 + 4 * 4 + 4 * 2 + 2) + 8
    parts = artifact.codes_bytes + artifact.composer_bytes + artifact.gnn_bytes
    assert path.stat().st_size == artifact.file_bytes == parts + artifact.header_bytes
    assert artifact.inference_bytes == encoder.inference_bytes()
    assert artifact.header_bytes < 4096
    assert artifact.header_bytes % 8 == 0


@pytest.mark.parametrize(
    "sizes",
    [[32] * 512, [2 + 7 * j for j in range(1000)], [16] * 300 + [17, 16] * 100],
    ids=["uniform", "all-different", "mixed"],
)
def test_header_stays_small(tmp_path: Path, sizes: list[int]) -> None:
    """Below 4 kB whatever the alphabets."""
    composer = SumComposer(shared=True)
    composer.bind(tuple(sizes), 4)
    encoder = PackedEmbedding(random_codes(5, len(sizes), sizes), composer)
    encoder.save(tmp_path / "a")
    assert read_artifact(tmp_path / "a").header_bytes < 4096
    loaded = PackedEmbedding.load(tmp_path / "a")
    assert loaded.codebook_sizes == tuple(sizes)
    assert torch.equal(loaded(), encoder())


def test_weights_and_metadata_come_back(tmp_path: Path) -> None:
    """A model can be rebuilt from the file alone."""
    model = gnn()
    metadata = {"layers": [6, 4, 2], "name": 'süß "sha256":"' + "0" * 64}
    make().save(tmp_path / "a", gnn=model.state_dict(), metadata=metadata)
    artifact = read_artifact(tmp_path / "a", verify=True)
    assert artifact.metadata == metadata
    other = gnn()
    other.load_state_dict(artifact.gnn)
    for name, tensor in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)
    assert artifact.tensors["gnn.1.num_batches_tracked"] == (torch.int64, ())
    assert artifact.composer_config["name"] == "ConcatComposer"


@pytest.mark.parametrize(
    "dtype",
    [torch.float16, torch.bool, torch.int8, torch.int16, torch.int32, torch.uint8],
)
def test_weights_of_any_type(tmp_path: Path, dtype: torch.dtype) -> None:
    """Narrow, empty and strided weights keep their values."""
    weights = {
        "strided": torch.arange(12).view(3, 4).t().to(dtype),
        "empty": torch.empty(0, 3, dtype=dtype),
    }
    make().save(tmp_path / "a", gnn=weights)
    loaded = read_artifact(tmp_path / "a").gnn
    for name, tensor in weights.items():
        assert loaded[name].dtype == dtype
        assert torch.equal(loaded[name], tensor)


def test_other_readers_open_it(tmp_path: Path) -> None:
    """It is a safetensors file, every tensor aligned to its element."""
    encoder = make(composer=MLPComposer(norm="batch")).bfloat16()
    encoder.save(tmp_path / "a", gnn=gnn().state_dict())
    with safe_open(tmp_path / "a", "pt") as file:
        assert torch.equal(file.get_tensor("codes"), encoder.packed)
        assert torch.equal(file.get_tensor("composer.weight"), encoder.composer.weight)
        assert file.metadata()["format_version"] == "1"
    header, _ = split((tmp_path / "a").read_bytes())
    widths = {"I64": 8, "F32": 4, "BF16": 2, "U8": 1}
    for name, entry in header.items():
        if name != "__metadata__":
            assert entry["data_offsets"][0] % widths[entry["dtype"]] == 0


# --- writing -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fsync", "replace"])
@pytest.mark.parametrize("existing", [True, False])
def test_failure_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, existing: bool
) -> None:
    """An older file is untouched, and no part of a new one stays."""
    path = tmp_path / "a"
    if existing:
        make().save(path)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, name, fail)
    message = f"artifact {path} cannot be written: No space left on device"
    with pytest.raises(OSError, match=re.escape(message)) as caught:
        make().save(path)
    assert caught.value.errno == errno.ENOSPC
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_interruption_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when someone presses Ctrl-C."""

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make().save(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_disk_full_in_the_middle(tmp_path: Path) -> None:
    """A real failure of a write, by a limit on the size of files."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "a"
    make().save(path)
    before = path.read_bytes()
    encoder = make(1 << 20)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(OSError, match="cannot be written"):
            encoder.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [file.name for file in tmp_path.iterdir()] == ["a"]
    assert path.read_bytes() == before


def test_bad_targets(tmp_path: Path) -> None:
    """Missing folders, folders and pipes are named."""
    encoder = make()
    with pytest.raises(FileNotFoundError, match="no/a cannot .* create it first"):
        encoder.save(tmp_path / "no" / "a")
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        encoder.save(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileExistsError, match="not a regular file"):
        encoder.save(tmp_path / "pipe")


def test_write_protection_is_respected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renaming over a protected file would succeed, against its owner's wish."""
    make().save(tmp_path / "a")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="it exists and is write-protected"):
        make().save(tmp_path / "a")


def test_symbolic_links_stay(tmp_path: Path) -> None:
    """Saving to a link writes the file behind it."""
    (tmp_path / "link").symlink_to(tmp_path / "real")
    make().save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").is_file()


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    """Others may read it, as any file."""
    old = os.umask(0o022)
    try:
        make().save(tmp_path / "a")
    finally:
        os.umask(old)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


class Foreign(ConcatComposer):
    """A composer that other people do not have."""


def test_content_that_no_file_keeps(tmp_path: Path) -> None:
    """Refused when saving, with the file's name."""
    path = tmp_path / "a"
    encoder = make()
    with pytest.raises(ValueError, match="composer is a Foreign; artifacts hold"):
        make(composer=Foreign()).save(path)
    with pytest.raises(TypeError, match="gnn as tensors by name, .* 'a': int"):
        encoder.save(path, gnn={"a": 1})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="'a' is not a dense tensor"):
        encoder.save(path, gnn={"a": torch.eye(2).to_sparse()})
    with pytest.raises(ValueError, match="'a' is not a dense tensor"):
        encoder.save(path, gnn={"a": torch.empty(2, device="meta")})
    with pytest.raises(ValueError, match="'weight' is not a dense tensor"):
        encoder.save(path, gnn=nn.LazyLinear(2).state_dict())
    with pytest.raises(ValueError, match=r"complex64, which is not stored"):
        encoder.save(path, gnn={"a": torch.zeros(2, dtype=torch.complex64)})
    with pytest.raises(ValueError, match="a name that is not Unicode"):
        encoder.save(path, gnn={"\ud800": torch.zeros(2)})
    with pytest.raises(TypeError, match="metadata as JSON values by name, got list"):
        encoder.save(path, metadata=[1])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not representable as JSON"):
        encoder.save(path, metadata={"score": float("nan")})
    with pytest.raises(ValueError, match="not representable as JSON"):
        encoder.save(path, metadata={"model": object()})
    with pytest.raises(ValueError, match="store less metadata"):
        encoder.save(path, metadata={"text": "x" * (1 << 20)})
    above = CodeTable(torch.tensor([[7, 0]], dtype=torch.uint8), [5, 5, 5])
    with pytest.raises(ValueError, match="row 0 has the code 7 at position 0"):
        PackedEmbedding(above, encoder.composer).save(path)
    with torch.no_grad():
        encoder.composer.weight[3, 1] = float("nan")
    with pytest.raises(ValueError, match="'composer.weight' has non-finite values"):
        encoder.save(path)
    assert list(tmp_path.iterdir()) == []


# --- hostile files -------------------------------------------------------------------


def split(content: bytes) -> tuple[Header, bytes]:
    """Header and data, by hand."""
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def join(text: str, data: bytes) -> bytes:
    """Put a file together without any check."""
    raw = text.encode()
    raw += b" " * (-len(raw) % 8)
    return struct.pack("<Q", len(raw)) + raw + data


def sign(header: Header, data: bytes) -> bytes:
    """A file with right checksums, so that nothing but its content can be refused."""
    metadata = header["__metadata__"]
    offsets = {
        key: item["data_offsets"] for key, item in header.items() if key[0] != "_"
    }
    start, stop = offsets.get("codes", (0, 0))
    metadata["sha256_codes"] = hashlib.sha256(data[start:stop]).hexdigest()
    metadata["sha256"] = "0" * 64
    unsigned = join(json.dumps(header, separators=(",", ":")), b"")
    digest = hashlib.sha256(unsigned)
    for key, (start, stop) in sorted(offsets.items(), key=lambda item: item[1]):
        if key != "codes":
            digest.update(data[start:stop])
    metadata["sha256"] = digest.hexdigest()
    return join(json.dumps(header, separators=(",", ":")), data)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a file with an MLP, a weight and a word of metadata."""
    path = tmp_path_factory.mktemp("sound") / "a"
    encoder = make(composer=MLPComposer(hidden_dim=2))
    encoder.save(path, gnn={"w": torch.ones(2)}, metadata={"a": 1})
    return path.read_bytes()


def refuse(path: Path, content: bytes, fault: str) -> None:
    """Both readers refuse, in one line that names the file and the fault."""
    path.write_bytes(content)
    with pytest.raises(ValueError, match=fault) as caught:
        PackedEmbedding.load(path)
    message = str(caught.value)
    assert message.startswith(f"artifact {path} cannot be read: ")
    assert "\n" not in message
    assert len(message) < 400 + len(str(path))


def flipped(content: bytes, position: int, bit: int = 0) -> bytes:
    """A copy with one bit changed."""
    changed = content[position] ^ 1 << bit
    return content[:position] + bytes([changed]) + content[position + 1 :]


def test_signing_by_hand_agrees(tmp_path: Path, sound: bytes) -> None:
    """Otherwise the files below were refused for their checksum."""
    assert sign(*split(sound)) == sound
    (tmp_path / "a").write_bytes(sound)
    PackedEmbedding.load(tmp_path / "a")


def test_not_a_file(tmp_path: Path) -> None:
    """Missing, a folder, a pipe, a name that is none."""
    os.mkfifo(tmp_path / "pipe")
    for name, fault in {
        "missing": "No such file",
        ".": "it is a folder",
        "pipe": "it is not a regular file",
        "a\0b": "null byte",
    }.items():
        for read in (PackedEmbedding.load, read_artifact):
            with pytest.raises(ValueError, match=fault):
                read(f"{tmp_path}/{name}")


def set_metadata(**values: str | None) -> Callable[[Header], None]:
    """Change or remove metadata."""

    def change(header: Header) -> None:
        for key, value in values.items():
            header["__metadata__"].pop(key, None)
            if value is not None:
                header["__metadata__"][key] = value

    return change


def set_tensor(name: str, **values: Any) -> Callable[[Header], None]:
    """Change fields of a tensor."""

    def change(header: Header) -> None:
        header[name].update(values)

    return change


def set_composer(name: str = "MLPComposer", **config: Any) -> Callable[[Header], None]:
    """Change the composer."""

    def change(header: Header) -> None:
        composer = json.loads(header["__metadata__"]["composer"])
        composer["name"] = name
        composer["config"].update(config)
        header["__metadata__"]["composer"] = json.dumps(composer)

    return change


def rename(old: str, new: str) -> Callable[[Header], None]:
    """Give a tensor another name."""

    def change(header: Header) -> None:
        header[new] = header.pop(old)

    return change


HOSTILE: dict[str, tuple[Callable[[Header], object], str]] = {
    "no metadata": (lambda header: header.pop("__metadata__"), "no __metadata__"),
    "metadata no text": (
        lambda header: header["__metadata__"].update(num_nodes=20),
        "no __metadata__ of strings",
    ),
    "format": (set_metadata(format="pt"), "its format is 'pt', expected 'kdgraph.p"),
    "no format": (set_metadata(format=None), "its format is None, expected"),
    "newer": (
        set_metadata(format_version="3"),
        "format version 3, .* reads versions 1 to 2; upgrade kdgraph",
    ),
    "older": (set_metadata(format_version="0"), "version 0, .* export it again"),
    "no version": (set_metadata(format_version=None), "lacks 'format_version'"),
    "version text": (set_metadata(format_version="one"), "'one' is not a number"),
    "no nodes": (set_metadata(num_nodes=None), "lacks 'num_nodes'"),
    "no user": (set_metadata(user=None), "lacks 'user'"),
    "unknown key": (set_metadata(color="red"), "unknown key 'color'"),
    "negative nodes": (set_metadata(num_nodes="-1"), "num_nodes '-1' is not a pos"),
    "many nodes": (set_metadata(num_nodes="9" * 18), r"shape \[20, 2\], but num_nod"),
    "absurd nodes": (set_metadata(num_nodes="9" * 5000), "is not a positive number"),
    "fewer nodes": (set_metadata(num_nodes="19"), r"need \[19, 2\]"),
    "other D": (set_metadata(num_codebooks="4"), "is 4, but it has 3 codebook_sizes"),
    "K of 1": (set_metadata(codebook_sizes="1*3"), r"in \[2, 65536\], got 1"),
    "K of 65537": (set_metadata(codebook_sizes="65537*3"), "got 65537"),
    "other K": (set_metadata(codebook_sizes="6*3"), r"'composer.weight' has shape"),
    "wider K": (set_metadata(codebook_sizes="64*3"), r"need \[20, 3\]"),
    "huge D": (set_metadata(codebook_sizes="5*999999"), "has 999999 codebooks"),
    "no K": (set_metadata(codebook_sizes=""), "codebook_sizes are unreadable"),
    "odd K": (set_metadata(codebook_sizes="base64:AAA="), "got 1|unreadable"),
    "K no base64": (set_metadata(codebook_sizes="base64:%%"), "unreadable"),
    "other C": (set_metadata(embedding_dim="7"), "'composer.last.bias' has shape"),
    "huge C": (set_metadata(embedding_dim="9" * 18), "cannot be built|has shape"),
    "composer text": (set_metadata(composer="mlp"), "its composer is not valid JSON"),
    "composer list": (set_metadata(composer="[]"), "its composer is not a JSON obj"),
    "composer empty": (set_metadata(composer="{}"), "not a name and a config"),
    "composer twice": (set_metadata(composer='{"a":1,"a":2}'), "'a' appears twice"),
    "composer deep": (
        set_metadata(composer="[" * 10**5),
        "nested too deeply|not valid",
    ),
    "composer name": (set_composer("Composer"), "'Composer' is unknown; artifacts"),
    "composer path": (set_composer("os.system"), "'os.system' is unknown"),
    "other composer": (set_composer("RecurrentComposer"), "has no argument 'num_lay"),
    "argument": (set_composer(evil=1), "has no argument 'evil'"),
    "argument type": (set_composer(hidden_dim="2"), "hidden_dim='2', which is not"),
    "argument bool": (set_composer(num_layers=True), "num_layers=True, which is not"),
    "argument float": (set_composer(code_dim=4.0), r"code_dim=4.0, which is not"),
    "argument list": (set_composer(pool=["mean"]), "which is not Literal"),
    "argument pool": (set_composer(pool="max"), "pool='max', which is not Literal"),
    "negative": (set_composer(hidden_dim=-1), "cannot be built: .* at least 1"),
    "zero": (set_composer(code_dim=0), "cannot be built: .* at least 1"),
    "wide": (set_composer(hidden_dim=10**12), "has shape .* needs|cannot be built"),
    "wider": (set_composer(hidden_dim=10**40), "a size is too large"),
    "deep": (set_composer(num_layers=10**9), "but there are only 5 tensors"),
    "deeper": (set_composer(num_layers=2), "lacks the tensor 'composer.residual.0"),
    "norm": (set_composer(norm="batch"), "lacks the tensor 'composer.output_norm"),
    "no codes": (rename("codes", "gnn.codes"), "lacks the tensor 'codes'"),
    "extra": (rename("gnn.w", "w"), "unknown tensor 'w'"),
    "extra in composer": (rename("gnn.w", "composer.w"), "unknown tensor 'composer.w'"),
    "long name": (rename("gnn.w", "w" * 10**5), r"unknown tensor 'w+\.\.\.'"),
    "line in name": (rename("gnn.w", "a\nb"), r"unknown tensor 'a\\nb'"),
    "no codebooks": (rename("composer.weight", "gnn.x"), "lacks .*'composer.weight'"),
    "signed codes": (set_tensor("codes", dtype="I8"), "torch.int8, expected torch.ui"),
    "integers": (set_tensor("composer.weight", dtype="I32"), "torch.int32, expected"),
    "wide codes": (set_tensor("codes", dtype="I64", shape=[5]), "int64, expected tor"),
    "flat codes": (set_tensor("codes", shape=[40]), r"shape \[40\], but num_nodes"),
    "turned": (set_tensor("composer.first.weight", shape=[12, 2]), "composer needs"),
    "unknown dtype": (set_tensor("codes", dtype="F4"), "unknown dtype 'F4'"),
    "dtype list": (set_tensor("codes", dtype=[1]), r"unknown dtype \[1\]"),
    "negative shape": (set_tensor("codes", shape=[-20, -2]), "no valid shape"),
    "float shape": (set_tensor("codes", shape=[20.0, 2]), "no valid shape"),
    "bool shape": (set_tensor("gnn.w", shape=[True, 2]), "no valid shape"),
    "huge shape": (set_tensor("gnn.w", shape=[2**62, 2**62]), "has offsets for 8 byte"),
    "absurd shape": (set_tensor("gnn.w", shape=[10**80]), "no valid shape"),
    "axes": (set_tensor("gnn.w", shape=[2] + [1] * 99), "no valid shape"),
    "no shape": (lambda header: header["codes"].pop("shape"), "lacks dtype, shape or"),
    "more fields": (set_tensor("codes", extra=1), "lacks dtype, shape or"),
    "no fields": (lambda header: header.update(codes=[]), "lacks dtype, shape or"),
    "one offset": (set_tensor("codes", data_offsets=[0]), "no valid offsets"),
    "backwards": (set_tensor("codes", data_offsets=[40, 0]), "offsets for -40 bytes"),
    "overlap": (set_tensor("gnn.w", data_offsets=[0, 8]), "overlaps another at"),
    "beyond": (set_tensor("codes", data_offsets=[9**9, 9**9 + 40]), "leaves a hole"),
    "hole": (lambda header: header.pop("gnn.w"), "leaves a hole"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_headers(tmp_path: Path, sound: bytes, case: str) -> None:
    """Headers that are well signed, and lie."""
    change, fault = HOSTILE[case]
    header, data = split(sound)
    change(header)
    if isinstance(header.get("__metadata__"), dict):
        try:
            content = sign(header, data)
        except (AttributeError, KeyError, TypeError, ValueError):
            content = join(json.dumps(header), data)
    else:
        content = join(json.dumps(header), data)
    refuse(tmp_path / "a", content, fault)


def test_hostile_bytes(tmp_path: Path, sound: bytes) -> None:
    """Files that are hardly safetensors."""
    path = tmp_path / "a"
    header, data = split(sound)
    text = json.dumps(header)
    refuse(path, b"", "it is empty")
    refuse(path, b"PK", "ends after 2 bytes")
    refuse(path, b"\x80\x02}q\x00." * 9, "truncated, or not a safetensors")
    refuse(
        path, struct.pack("<Q", 2**64 - 1) + sound[8:], "header of 18446744073709551615"
    )
    refuse(path, struct.pack("<Q", len(sound)) + sound[8:], "announces a header of")
    refuse(path, struct.pack("<Q", 0) + sound[8:], "header is not valid JSON")
    refuse(path, join("[]", data), "header is not a JSON object")
    refuse(path, join('{"a":', data), "header is not valid JSON")
    refuse(path, join('{"a":NaN}', data), "NaN is no JSON number")
    refuse(path, join('{"a":' + "1" * 9999 + "}", data), "header is not valid JSON")
    refuse(path, join("[" * 10**5, data), "nested too deeply")
    refuse(path, join('{"codes":1,"codes":2}', data), "the key 'codes' appears twice")
    refuse(path, struct.pack("<Q", 8) + b'{"\xff":1} ' + data, "header is not UTF-8")
    refuse(path, join(text, data), "not formatted as kdgraph writes it")
    refuse(path, sound + b"\0", "something was appended")


def test_wrong_content(tmp_path: Path, sound: bytes) -> None:
    """Data that is well signed, and would decode to nonsense."""
    path = tmp_path / "a"
    header, data = split(sound)
    start, _ = header["codes"]["data_offsets"]

    def with_bytes(position: int, value: bytes) -> bytes:
        changed = data[:position] + value + data[position + len(value) :]
        return sign(json.loads(json.dumps(header)), changed)

    above = with_bytes(start + 2 * 3, b"\x05")
    refuse(path, above, "row 3 has the code 5 at position 0, expected below 5")
    loaded = PackedEmbedding.load(path, verify=False)
    loaded(torch.tensor([2]))
    with pytest.raises(ValueError, match="the code 5 at position 0"):
        loaded(torch.tensor([2, 3]))
    refuse(path, with_bytes(start + 1, b"\x80"), "bits set after the last code")
    weight = header["composer.weight"]["data_offsets"][0]
    for value in (float("nan"), float("inf")):
        content = with_bytes(weight, struct.pack("<f", value))
        refuse(path, content, "'weight' has non-finite values")


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file with int8 codebooks, codes implied by an order, and the map of ids."""
    path = tmp_path_factory.mktemp("narrow") / "a"
    prefix = Prefix(torch.tensor([0, 4, 4, 11, 20]), (2, 2))
    table = random_codes(20, 1, 5).prefixed(prefix)
    composer = SumComposer(code_dim=3, storage="int8")
    encoder = KDEmbedding(20, 6, coder=FixedCoder(table), composer=composer)
    encoder.export(torch.arange(20).flip(0)).save(path)
    return path.read_bytes()


NARROW: dict[str, tuple[Callable[[Header], object], str]] = {
    "no scale": (
        rename("composer.weight_scale", "gnn.s"),
        "lacks the tensor 'composer.weight_scale'",
    ),
    "wide scale": (
        set_tensor("composer.weight_scale", dtype="I16"),
        "torch.int16, expected torch.bfloat16",
    ),
    "unsigned": (
        set_tensor("composer.weight", dtype="U8"),
        "'composer.weight' has torch.uint8, expected torch.int8",
    ),
    "other storage": (set_composer("SumComposer", storage="bfloat16"), "unknown ten"),
    "no storage": (set_composer("SumComposer", storage=None), "unknown tensor"),
    "storage": (set_composer("SumComposer", storage="int4"), "not Optional.Literal"),
    "no dtype": (set_metadata(dtype=None), "storage='int8', and .* lacks 'dtype'"),
    "odd dtype": (set_metadata(dtype="int8"), "its dtype is 'int8', expected one of"),
    "no prefix": (set_metadata(prefix=None), "unknown tensor '(boundaries|places)'"),
    "prefix text": (set_metadata(prefix="levels"), "its prefix is not valid JSON"),
    "prefix kind": (
        set_metadata(prefix='{"kind":"path","branching":[2,2]}'),
        "not a kind and a branching",
    ),
    "branching": (
        set_metadata(prefix='{"kind":"levels","branching":[true,2]}'),
        "not a kind and a branching",
    ),
    "no branching": (
        set_metadata(prefix='{"kind":"levels","branching":[]}'),
        "not a kind and a branching",
    ),
    "huge branching": (
        set_metadata(prefix='{"kind":"levels","branching":[2,99999999999999999999]}'),
        "not a kind and a branching",
    ),
    "other kind": (
        set_metadata(prefix='{"kind":"digits","branching":[2,2]}'),
        "does not tell the first of its codebook_sizes",
    ),
    "shorter prefix": (
        set_metadata(prefix='{"kind":"levels","branching":[2]}'),
        r"need \[20, 1\]|'boundaries' has shape",
    ),
    "no boundaries": (rename("boundaries", "gnn.b"), "lacks the tensor 'boundaries'"),
    "float boundaries": (set_tensor("boundaries", dtype="F32"), "expected torch.int32"),
    "flat boundaries": (set_tensor("boundaries", shape=[1, 5]), r"need \[5\]"),
    "signed places": (set_tensor("places", dtype="I8"), "expected torch.uint8"),
    "flat places": (set_tensor("places", shape=[1, 13]), r"need \[13\]"),
    "places of old": (set_metadata(format_version="1"), "unknown tensor 'places'"),
    "rows of new": (rename("places", "rows"), "unknown tensor 'rows'"),
}


@pytest.mark.parametrize("case", NARROW)
def test_hostile_headers_of_narrow_files(
    tmp_path: Path, narrow: bytes, case: str
) -> None:
    """Headers that lie about roundings, prefixes and maps."""
    change, fault = NARROW[case]
    header, data = split(narrow)
    change(header)
    refuse(tmp_path / "a", sign(header, data), fault)


def test_places_are_kept_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "a"
    table = CodeTable.from_prefix(Prefix([0, 20], (2, 3, 4), "place"))
    composer = RingComposer(rank=2, storage="int8")
    encoder = KDEmbedding(20, 6, coder=FixedCoder(table), composer=composer).export()
    encoder.save(path)
    found = PackedEmbedding.load(path)
    assert torch.equal(found(), encoder())
    places = [[v // 12, v // 4 % 3, v % 4] for v in range(20)]
    assert found.codes().tolist() == places
    # 9 codewords of 2 x 2 x 2 numbers of a byte, three scales, two ends.
    assert found.inference_bytes() == 9 * 8 + 6 + 8
    content = path.read_bytes()
    for branching, fault in (
        ([2, 3], r"'boundaries'|codebook_sizes|lacks|places"),
        ([2, 3, 3], "does not tell the first of its codebook_sizes"),
    ):
        header, data = split(content)
        said = json.dumps({"kind": "place", "branching": branching})
        header["__metadata__"]["prefix"] = said
        refuse(path, sign(header, data), fault)
    header, data = split(content)
    start, stop = header["boundaries"]["data_offsets"]
    more = data[:start] + struct.pack("<ii", 0, 25) + data[stop:]
    refuse(path, sign(header, more), "at most 24 places, got 25 nodes")


@pytest.mark.parametrize("ordered", [False, True])
def test_files_of_version_1(tmp_path: Path, ordered: bool) -> None:
    """With the row of each node in four bytes, and with the order left out."""
    prefix = Prefix(torch.tensor([0, 4, 4, 11, 20]), (2, 2))
    table = random_codes(20, 1, 5).prefixed(prefix)
    encoder = KDEmbedding(20, 6, coder=FixedCoder(table), composer="sum").export()
    order, path = torch.randperm(20), tmp_path / "old"
    rows = order.argsort().int()
    encoder.save(path, gnn={"rows": rows} if ordered else {})
    header, data = split(path.read_bytes())
    assert header["__metadata__"]["format_version"] == "2"
    header["__metadata__"]["format_version"] = "1"
    if ordered:
        rename("gnn.rows", "rows")(header)
    old = sign(header, data)
    path.write_bytes(old)
    artifact = read_artifact(path)
    assert artifact.lacks_map is not ordered
    assert artifact.file_bytes == len(old)
    if ordered:
        found = PackedEmbedding.load(path)
        assert torch.equal(found()[order], encoder())
        # A place takes 5 bits from here on.
        assert found.inference_bytes() == encoder.inference_bytes() + 13
        return
    with pytest.warns(UserWarning, match="does not hold the map .* 'kdgraph export'"):
        found = PackedEmbedding.load(path)
    assert torch.equal(found(), encoder())
    # What is written from here on is known to take places for ids.
    found.save(path)
    assert not read_artifact(path).lacks_map


NARROW_DATA: dict[str, tuple[str, bytes, str]] = {
    "nan": ("composer.weight_scale", b"\xc0\x7f", "'weight_scale' has non-finite"),
    "infinity": ("composer.weight_scale", b"\x80\x7f", "has non-finite values"),
    "negative": ("composer.weight_scale", b"\x80\xbf", "does not store"),
    "zero": ("composer.weight_scale", b"\x00\x00", "does not store"),
    "other step": ("composer.projection.weight", b"\x80" * 18, "does not store"),
    "null code": ("composer.weight", b"\x01", "'composer.weight' .* does not store"),
    "first": ("boundaries", struct.pack("<i", 1), "from 1 to 20"),
    "falling": ("boundaries", struct.pack("<iii", 0, 4, 3), "got 4 before 3 at leaf 1"),
    "below": ("boundaries", struct.pack("<ii", 0, -4), "got 0 before -4 at leaf 0"),
    "short": ("boundaries", struct.pack("<5i", 0, 4, 4, 11, 19), "boundaries of 19"),
    "long": ("boundaries", struct.pack("<5i", 0, 4, 4, 11, 21), "boundaries of 21"),
    # The first of 5 bits each: 18 18 17 and 20 18 17, in the place of 19 18 17.
    "twice": ("places", b"\x52\x46", "holds each place once, got none at 19"),
    "beyond": ("places", b"\x54\x46", "holds 0 to 19, got 20"),
}


@pytest.mark.parametrize("case", NARROW_DATA)
def test_hostile_data_of_narrow_files(tmp_path: Path, narrow: bytes, case: str) -> None:
    """Data that is well signed, and no rounding, prefix or order gives."""
    name, value, fault = NARROW_DATA[case]
    header, data = split(narrow)
    start, _ = header[name]["data_offsets"]
    changed = data[:start] + value + data[start + len(value) :]
    refuse(tmp_path / "a", sign(header, changed), fault)
    with pytest.raises(ValueError, match=fault):
        PackedEmbedding.load(tmp_path / "a", verify=False)


def test_every_flipped_bit_of_narrow_files(tmp_path: Path, narrow: bytes) -> None:
    """The new parts are under the checksum, too."""
    path = tmp_path / "a"
    path.write_bytes(narrow)
    assert sign(*split(narrow)) == narrow
    assert read_artifact(path).file_bytes == len(narrow)
    header, data = split(narrow)
    first = len(narrow) - len(data)
    for name in ("boundaries", "places", "composer.weight_scale"):
        start, stop = header[name]["data_offsets"]
        for position in range(first + start, first + stop):
            refuse(path, flipped(narrow, position, position % 8), "cannot be read")


def test_a_needless_dtype_is_refused(tmp_path: Path, sound: bytes) -> None:
    """Where codebooks are as trained, their type says it."""
    header, data = split(sound)
    header["__metadata__"]["dtype"] = "float32"
    fault = "storage=None, and its metadata has 'dtype'"
    refuse(tmp_path / "a", sign(header, data), fault)


def test_damaged_codes_are_found_unless_told_not_to(
    tmp_path: Path, sound: bytes
) -> None:
    """verify=False skips the codes and nothing else."""
    header, data = split(sound)
    start, _ = header["codes"]["data_offsets"]
    first = len(sound) - len(data)
    codes = flipped(sound, first + start)
    refuse(tmp_path / "a", codes, "the checksum of its codes does not match")
    PackedEmbedding.load(tmp_path / "a", verify=False)
    read_artifact(tmp_path / "a", verify=False)
    weight = header["composer.weight"]["data_offsets"][0]
    weights = flipped(sound, first + weight)
    refuse(tmp_path / "a", weights, "its checksum does not match")
    with pytest.raises(ValueError, match="its checksum does not match"):
        PackedEmbedding.load(tmp_path / "a", verify=False)


def test_every_truncation_is_refused(tmp_path: Path, sound: bytes) -> None:
    """At every byte, whatever was cut."""
    path = tmp_path / "a"
    for length in range(0, len(sound), 7):
        refuse(path, sound[:length], "cannot be read")
    refuse(path, sound[:-1], "truncated")


def test_every_flipped_bit_is_refused(tmp_path: Path, sound: bytes) -> None:
    """A thousand of them, drawn once: header, whitespace and data are all covered."""
    path = tmp_path / "a"
    generator = random.Random(0)
    for _ in range(1000):
        position, bit = divmod(generator.randrange(8 * len(sound)), 8)
        refuse(path, flipped(sound, position, bit), "cannot be read")


def test_random_garbage_is_refused(tmp_path: Path, sound: bytes) -> None:
    """Blocks overwritten, inserted, removed."""
    path = tmp_path / "a"
    generator = random.Random(1)
    for _ in range(300):
        start = generator.randrange(len(sound))
        block = generator.randbytes(generator.randrange(1, 40))
        removed = generator.choice([0, 1, len(block)])
        content = sound[:start] + block + sound[start + removed :]
        if content != sound:
            refuse(path, content, "cannot be read")


def test_artifact_is_frozen(tmp_path: Path, sound: bytes) -> None:
    """What was read is not changed by accident."""
    (tmp_path / "a").write_bytes(sound)
    artifact = read_artifact(tmp_path / "a")
    assert isinstance(artifact, Artifact)
    with pytest.raises(AttributeError):
        artifact.path = "b"  # type: ignore[misc]
