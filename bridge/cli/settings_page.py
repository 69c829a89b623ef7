"""Writes ``docs/settings.md`` from :class:`bridge.settings.settings.Settings`.

``python -m bridge.cli.settings_page > docs/settings.md``
"""

from __future__ import annotations

import sys

from bridge.cli.setting_options import names_of, option_name, variable_name
from bridge.settings.settings import Settings
from bridge.settings.sources import CONFIG
from bridge.settings.values import OWNED_PROPERTIES, Group, Trait

_MAY_BE_EMPTY = [name for name, field in Settings.model_fields.items() if Trait.EMPTY in field.metadata]
_HEAD = f"""# Settings

This page is written by `python -m bridge.cli.settings_page` from `bridge/settings/settings.py`; a test keeps it
current.

A setting has one name in three forms: an option (`--ledger-horizon 14d`), an environment variable
(`FLOWBRIDGE_LEDGER_HORIZON=14d`), and a key of the file (`ledger_horizon: 14d`) that `--config` or
`{CONFIG}` names: YAML, JSON or TOML, by its ending. An option wins over the environment, that over the
file, that over the default; `kafka` is merged property by property. An empty variable counts as not
set, except for {" and ".join(f"`{variable_name(name)}`" for name in _MAY_BE_EMPTY)}.

Lengths of time are written with units: `250ms`, `30s`, `10m`, `1h30m`, `7d`.

Kubernetes is reached as all its clients reach it: the files that `KUBECONFIG` names, else `~/.kube/config`, else the
account of the pod.

A setting that is wrong ends the command with exit code 2 and says where it stands, what was found and what would be
right. Passwords, keys and tokens are shown nowhere: not in logs, errors, `-o json` or metrics.
"""

_TAIL = """
## An example

```yaml
# flowbridge.yaml
bootstrap_servers: kafka-1:9093,kafka-2:9093
triggers: [triggers]          # beside this file
namespace: ml
ledger_horizon: 14d
kafka:
  security.protocol: SASL_SSL
  sasl.mechanism: SCRAM-SHA-512
  sasl.username: flowbridge   # the password comes as FLOWBRIDGE_KAFKA_SASL_PASSWORD
```

## What cannot be set

The bridge sets these properties of librdkafka itself, since its promises rest on them, and refuses them under `kafka`:
"""


def page() -> str:
    """Return the page in Markdown: the groups in their order, in each the settings in the order of their definition."""
    defaults = Settings().without_secrets()
    parts = [_HEAD]
    for group in Group:
        parts.append(f"\n## {group.value}\n")
        for name in names_of(group):
            default = defaults[name]
            option = f"{option_name(name)} KEY=VALUE" if name == "kafka" else option_name(name)
            if isinstance(default, bool):
                option = f"{option}` / `--no-{option.removeprefix('--')}"
            shown = ",".join(default) if isinstance(default, list) else default
            default_text = f"`{str(shown).lower() if isinstance(shown, bool) else shown}`"
            if default in (None, "", [], {}):
                default_text = "none"
            parts.append(f"\n### {name}\n\n{Settings.model_fields[name].description}\n\n")
            parts.append(f"`{option}` · `{variable_name(name)}` · default: {default_text}\n")
    parts.append(_TAIL)
    parts.append("".join(f"\n- `{name}`" for name in sorted(OWNED_PROPERTIES)) + "\n")
    return "".join(parts)


if __name__ == "__main__":
    sys.stdout.write(page())
