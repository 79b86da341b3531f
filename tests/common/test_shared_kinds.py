"""Every column of the development tables is what a reader of the table says it is; skipped where they are missing."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from automl_wf.core.frame import learn_schema

DATA = Path(__file__).parents[2].parent / "shared" / "data"
#: table: kind → its columns; all others are numbers.
KINDS: dict[str, dict[str, str]] = {
    "pnw_flights": {"categorical": "carrier tailnum origin dest"},
    "vic_demand": {"datetime": "time", "boolean": "holiday"},
    "instructor_eval": {"categorical": "student lecturer dept"},
    "nls_wages": {},
    "hotel_rates": {
        "categorical": "meal country market_segment distribution_channel reserved_room_type assigned_room_type agent "
        "company customer_type",
        "datetime": "arrival_date",
    },
    "ames": {
        "categorical": "MS_SubClass MS_Zoning Street Alley Lot_Shape Land_Contour Utilities Lot_Config Land_Slope "
        "Neighborhood Condition_1 Condition_2 Bldg_Type House_Style Overall_Cond Roof_Style Roof_Matl Exterior_1st "
        "Exterior_2nd Mas_Vnr_Type Exter_Cond Foundation Bsmt_Cond Bsmt_Exposure BsmtFin_Type_1 BsmtFin_Type_2 Heating "
        "Heating_QC Central_Air Electrical Functional Garage_Type Garage_Finish Garage_Cond Paved_Drive Pool_QC Fence "
        "Misc_Feature Sale_Type Sale_Condition"
    },
    "hitters": {"categorical": "League Division NewLeague"},
    "loan_rates": {
        "text": "emp_title",
        "categorical": "state homeownership verified_income verification_income_joint loan_purpose application_type "
        "initial_listing_status disbursement_method",
        "datetime": "issue_month",
    },
    "telco_churn": {
        "categorical": "multiple_lines internet_service online_security online_backup device_protection tech_support "
        "streaming_tv streaming_movies contract payment_method"
    },
    "credit_status": {"categorical": "Home Marital Job", "boolean": "Records"},
    "grants": {"categorical": "sponsor_code contract_value_band category_code month weekday"},
    "crash_fatality": {"categorical": "dvcat airbag seatbelt sex abcat occRole"},
    "moto_claims": {"categorical": "sex"},
    "bird_strikes": {
        "text": "operator atype remarks species",
        "categorical": "opid phase_of_flt time_of_day state sky birds_seen birds_struck",
        "datetime": "date",
    },
    "rodent_species": {"categorical": "sex plot_type"},
    "leaf_shape": {
        "categorical": "apex base shape",
        "boolean": "denate_edge lobed_edge smooth_edge toothed_edge undulate_edge",
    },
    "web_rank": {},
}


@pytest.mark.skipif(not DATA.is_dir(), reason="the development tables are not here")
@pytest.mark.parametrize("name", KINDS)
def test_kinds(name: str) -> None:
    facts = json.loads((DATA / "MANIFEST.json").read_text(encoding="utf-8"))[name]
    X = pd.read_parquet(DATA / facts["file"])
    given = [facts["target"], facts["group"], *facts["drop"]]
    schema, _, _ = learn_schema(X.drop(columns=[c for c in given if c in X]))
    found = {c.name: c.kind.value for c in schema.columns if c.kind.value != "numeric"}
    assert found == {column: kind for kind, columns in KINDS[name].items() for column in columns.split()}


@pytest.mark.skipif(not DATA.is_dir(), reason="the development tables are not here")
def test_no_table_is_left_out() -> None:
    assert set(KINDS) == set(json.loads((DATA / "MANIFEST.json").read_text(encoding="utf-8")))
