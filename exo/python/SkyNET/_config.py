"""What ctrl.config of "start" is: a ConfigParser of the handler's own."""

import configparser
import json
import logging

from SkyNET._address import boss
from SkyNET._errors import Fatal


class Config(configparser.ConfigParser):
    """A ConfigParser whose `get` takes raw and vars by position too, as handlers of Python 2 gave them."""

    def get(self, section, option, raw=False, vars=None, **more):
        return configparser.ConfigParser.get(self, section, option, raw=raw, vars=vars, **more)

    def readfp(self, fp, filename=None):
        """The name that `read_file` had in Python 2."""
        self.read_file(fp, filename)


def make(settings):
    """Reads all files in order, the last wins; then what is always there."""
    config = Config(strict=False)
    for layer in settings.get("layers", ()):
        if "ini" in layer:
            _read(config, layer)
        else:
            for name, table in layer["toml"].items():
                _add(config, name, {key: _text(value) for key, value in table.items()})
    _add(config, "boss", boss(settings["amqp"][0]))
    for key in ("name", "queue", "regexp", "code"):
        if not config.has_option("participant", key):
            _add(config, "participant", {key: settings[key]})
    return config


def _read(config, layer):
    try:
        config.read_string(layer["ini"], layer["file"])
    except configparser.Error as e:
        said = "cannot read %s: %s" % (layer["file"], " ".join(str(e).split()))
        if not layer.get("optional"):
            raise Fatal(said) from None
        logging.getLogger(settings_name(config)).warning("%s; what it says is not used", said)
    for name in config.sections():
        # Written for supervisor, which has names of its own for %(...)s.
        if name.startswith("program:"):
            for key, value in config.items(name, raw=True):
                if key not in config.defaults():
                    config.set(name, key, value.replace("%%", "%").replace("%", "%%"))


def settings_name(config):
    """The participant's name, as far as it has been read."""
    return config.get("participant", "name", raw=True, fallback="exo")


def _add(config, section, values):
    if section != configparser.DEFAULTSECT and not config.has_section(section):
        config.add_section(section)
    for key, value in values.items():
        config.set(section, key, value.replace("%", "%%"))


def _text(value):
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
