"""Where trainings are written down: files that TensorBoard reads, and services, refused without their package."""

import pytest

from represent.scalars import masked, scalars
from shopkeeper.errors import MissingExtra
from shopkeeper.represent import following as module
from shopkeeper.represent.following import following


def test_scalars_are_read_back_as_they_were_written_each_training_in_a_folder_of_its_own(tmp_path):
    files = following("tensorboard", tmp_path)
    first = files.begin("one", {"width": 8})
    first.scalars(1, {"loss": 2.5})
    first.scalars(300, {"loss": 1.25, "ndcg@10": 0.5})
    first.end()
    files.begin("other", {}).end()

    (file,) = (tmp_path / "one").iterdir()
    assert "tfevents" in file.name
    assert scalars(file) == [(1, "loss", 2.5), (300, "loss", 1.25), (300, "ndcg@10", 0.5)]
    assert (files.runs, len(list((tmp_path / "other").iterdir()))) == (2, 1)


def test_the_checksum_is_crc_32c_as_the_standard_has_it():
    crc = (int.from_bytes(module._checksum(b"123456789"), "little") - 0xA282EAD8) & 0xFFFFFFFF

    assert (crc << 15 | crc >> 17) & 0xFFFFFFFF == 0xE3069283  # the check value of CRC-32C
    assert int.from_bytes(module._checksum(b"123456789"), "little") == masked(b"123456789")


@pytest.mark.parametrize("service", ["wandb", "mlflow"])
def test_a_service_whose_package_is_missing_is_refused_by_name(service, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra) as refused:
        following(service, tmp_path)

    assert str(refused.value) == (
        f"a training is written to {service} by its package, which is not installed.\n"
        f"  Try:  pip install {service}\n  Try:  --log-to tensorboard\n"
        "  Why:  the files of TensorBoard need no package.")
