"""The README's examples run, and print what their comments say."""

import contextlib
import io
import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_python_blocks_print_what_they_say() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 3
    scope: dict[str, object] = {}
    for block in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(block, scope)
        for line in block.splitlines():
            said = re.match(r"print\(.*\)\s+# (True|\[.*\]|RustTorch\(.*\))$", line)
            if said:
                assert said[1] in printed.getvalue()
