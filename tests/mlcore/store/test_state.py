import numpy as np
import pytest
from sklearn.base import clone

from mlcore.checks.models import TASKS, Case
from mlcore.models import MODELS
from mlcore.models.lightgbm import LightGBM
from mlcore.store.state import ModelState, StoreError, from_plain, in_and_out, pack_arrays, to_plain, unpack_arrays

NUMBER = next(task for task in TASKS if task.kind == "regression")


def test_arrays_come_back_bit_for_bit_whatever_their_layout():
    arrays = {"f": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "zero": np.array(np.nan), "none": np.empty((0, 2))}
    back = unpack_arrays("x", pack_arrays(arrays))
    for name, array in arrays.items():
        assert back[name].tobytes() == array.tobytes()  # C order both
        assert back[name].shape == array.shape


def test_plain_values_come_back_as_they_were():
    value = {"a": (1, (0.1, None)), "b": [True, "text"], "c": {"d": 1e-300}}
    assert from_plain(to_plain(value, "x")) == value
    assert to_plain(np.float64(0.1), "x") == 0.1


@pytest.mark.parametrize("value", [object(), float("nan"), {1: 2}, len, {"tuple": 1}])
def test_what_is_no_plain_value_is_refused_by_its_name(value):
    with pytest.raises(StoreError, match=r"`params\.p` is"):
        to_plain({"p": value}, "params")


def test_objects_are_no_arrays():
    with pytest.raises(StoreError, match="dtype object"):
        pack_arrays({"x": np.array([object()])})


def test_a_lightgbm_text_that_is_cut_anywhere_is_refused_and_does_not_end_the_process():
    case = Case(LightGBM(n_estimators=3), NUMBER)
    state = case.fitted.get_state()
    text = state.texts["booster-0"]
    end = text.index("end of parameters")
    for cut in (*range(0, end, 97), end):
        with pytest.raises(StoreError, match="`booster` is no"):
            clone(case.fitted).set_state(ModelState(texts={"booster-0": text[:cut]}, values=state.values))


def test_weights_of_another_network_are_refused():
    small, large = (Case(MODELS["lstm"](width=width, epochs=1), NUMBER).fitted for width in (4, 8))
    with pytest.raises(StoreError, match="does not fit LSTM"):
        clone(small).set_state(in_and_out(large.get_state()))
