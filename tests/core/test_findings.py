"""Findings are values: plain to write down, gravest first."""

from __future__ import annotations

import json

from automl_wf.core.findings import Finding, sort_findings


def test_gravest_first_and_otherwise_as_found() -> None:
    found = [
        Finding(code, severity, "", "")
        for code, severity in [("a", "info"), ("b", "warning"), ("c", "serious"), ("d", "warning")]
    ]
    assert [f.code for f in sort_findings(found)] == ["c", "b", "d", "a"]


def test_plain_json_types() -> None:
    finding = Finding("leakage", "serious", "seen", "do", ("x", "y"))
    assert json.loads(json.dumps(finding.to_dict())) == {
        "code": "leakage",
        "severity": "serious",
        "message": "seen",
        "advice": "do",
        "columns": ["x", "y"],
    }
