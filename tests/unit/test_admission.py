"""What is declared here is let in: bounds for other people's files never refuse the project's own experiments."""

from __future__ import annotations

import pytest

from experiments.catalogue import CATALOGUE
from experiments.declare.admission import check_experiment, check_run
from experiments.declare.scenario import Run


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_experiment_of_the_catalogue_is_admitted(name: str) -> None:
    experiment = CATALOGUE[name]
    check_experiment(experiment, runs_per_case=10, seed=1, engine="virtual", agents={})
    for case in experiment.cases:
        check_run(Run(name, experiment.domain, case, experiment.scenario, 1, 1, "virtual"))
