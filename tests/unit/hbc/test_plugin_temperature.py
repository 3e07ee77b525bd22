import pytest

from hbc.plugins.base import Machine, Unavailable
from hbc.plugins.temperature import Temperature


@pytest.fixture
def sensors(tmp_path):
    """A /sys that a test fills."""

    class Fake:
        def chip(self, number, name, device="dev", **files):
            folder = tmp_path / f"class/hwmon/hwmon{number}"
            folder.mkdir(parents=True)
            (tmp_path / device).mkdir(exist_ok=True)
            (folder / "device").symlink_to(tmp_path / device)
            for file, text in {"name": name, **files}.items():
                (folder / file).write_text(f"{text}\n")
            return folder

        def zone(self, number, kind, thousandths):
            folder = tmp_path / f"class/thermal/thermal_zone{number}"
            folder.mkdir(parents=True)
            (folder / "type").write_text(f"{kind}\n")
            (folder / "temp").write_text(f"{thousandths}\n")

        def plugin(self):
            return Temperature({}, Machine(linux=True, sys=str(tmp_path)))

    return Fake()


def test_sensor_is_named_by_chip_and_label(sensors):
    sensors.chip(0, "coretemp", temp1_input=45500, temp1_label="Package id 0", temp1_max=80000, temp1_crit=100000)

    assert sensors.plugin().collect() == {"coretemp Package id 0": {"celsius": 45.5, "high": 80.0, "critical": 100.0}}


def test_sensor_without_label_is_named_by_its_number(sensors):
    sensors.chip(0, "acpitz", temp1_input=30000)

    assert sensors.plugin().collect() == {"acpitz temp1": {"celsius": 30.0}}


def test_chips_of_one_name_are_told_apart_by_their_device(sensors):
    sensors.chip(0, "nvme", "nvme0", temp1_input=30000)
    sensors.chip(1, "nvme", "nvme1", temp1_input=40000)

    assert set(sensors.plugin().collect()) == {"nvme nvme0 temp1", "nvme nvme1 temp1"}


@pytest.mark.parametrize("thousandths", [-128000, -55000, 127000, 255000])
def test_sensor_that_is_not_connected_says_nothing(sensors, thousandths):
    sensors.chip(0, "nct", temp1_input=thousandths, temp2_input=30000)

    assert list(sensors.plugin().collect()) == ["nct temp2"]


def test_limits_that_cannot_be_are_left_out(sensors):
    sensors.chip(0, "nct", temp1_input=30000, temp1_max=0, temp1_crit=65261850)

    assert sensors.plugin().collect() == {"nct temp1": {"celsius": 30.0}}


def test_sensor_that_goes_silent_is_left_out(sensors):
    chip = sensors.chip(0, "nct", temp1_input=30000, temp2_input=31000)
    plugin = sensors.plugin()
    plugin.collect()
    (chip / "temp1_input").unlink()

    assert list(plugin.collect()) == ["nct temp2"]


def test_small_boards_have_thermal_zones(sensors):
    sensors.zone(0, "cpu-thermal", 51000)

    assert sensors.plugin().collect() == {"cpu-thermal": {"celsius": 51.0}}


def test_machine_without_sensors_has_nothing_to_measure(sensors):
    with pytest.raises(Unavailable, match="no temperature sensors"):
        sensors.plugin().collect()
