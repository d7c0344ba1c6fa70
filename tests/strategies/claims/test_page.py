import json
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from strategies.claims.page import write_claims
from strategies.claims.verdicts import Verdict


@dataclass(frozen=True)
class Config:
    out: str
    overwrite: bool = False

    def as_dict(self):
        return asdict(self)


def test_claims_are_told_with_whole_counts_and_what_was_found(tmp_path):
    table = pd.DataFrame({"coin": ["A", "B"], "n": [283_500, 7], "direction": [0.49321, np.nan]})
    verdicts = [Verdict("it calls 56% right", "does not hold", "49.3% & less")]
    folder = write_claims("The study", "Led.", verdicts, {"coins": table}, Config(str(tmp_path / "out")), seconds=61.2)
    page = (folder / "report.html").read_text()
    assert "Does not hold: it calls 56% right." in page and "49.3% &amp; less" in page
    assert ">283,500<" in page and ">0.4932<" in page and "nan" not in page.split("<body", 1)[1].lower()
    told = json.loads((folder / "verdicts.json").read_text())
    assert told["verdicts"][0]["outcome"] == "does not hold" and told["config"]["out"] == str(tmp_path / "out")
    assert pd.read_csv(folder / "coins.csv")["n"].tolist() == [283_500, 7]
