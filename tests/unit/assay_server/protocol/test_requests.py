"""Infer requests: what is read, that every way of writing it gives the same rows, what errors name."""

import json
import math
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_server.protocol import MAX_ROWS, Parser, ProtocolError
from assay_server.protocol.requests import json_length_of

from .builders import CODES, binary, body, parse, raw_tensor, raw_text, signature, tensor

TWO = signature(2)
NAMED = signature(3, feature_names=("age", "income", "height"))
INCOMPLETE = signature(2, missing=frozenset({0, 1}))
# age, colour, paid: a number, a text, a number.
MIXED = signature(3, feature_names=("age", "colour", "paid"), categorical=frozenset({1}))
MIXED_INCOMPLETE = signature(
    3,
    feature_names=("age", "colour", "paid"),
    categorical=frozenset({1}),
    missing=frozenset(range(3)),
)
finite = st.floats(allow_nan=False, allow_infinity=False)


def refused(content, model=TWO, json_length=None) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        Parser(model).parse(content, json_length)
    return caught.value


@st.composite
def matrices(draw, elements=finite):
    rows, columns = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    size = rows * columns
    return np.array(draw(st.lists(elements, min_size=size, max_size=size))).reshape(rows, columns)


class TestOneMatrixWrittenInManyWays:
    @given(matrices())
    def test_flat_nested_and_binary_data_are_the_same_rows(self, matrix):
        model = signature(matrix.shape[1])
        shape = list(matrix.shape)
        expected = matrix.tolist()
        for data in (expected, matrix.ravel().tolist()):
            rows = parse(model, tensor(data, shape)).rows
            assert rows.dtype == np.float64
            assert rows.tolist() == expected
        content = binary(raw_tensor(matrix.tobytes(), shape))
        assert Parser(model).parse(*content).rows.tolist() == expected

    @given(matrices())
    def test_named_columns_are_the_same_rows_in_any_order_and_form(self, matrix):
        names = tuple("abcdefgh"[: matrix.shape[1]])
        model = signature(len(names), feature_names=names)
        count = len(matrix)
        columns = [
            tensor(column.tolist(), [count], name=name)
            if place % 2
            else tensor(column.reshape(-1, 1).tolist(), [count, 1], name=name)
            for place, (name, column) in enumerate(zip(names, matrix.T, strict=True))
        ]
        raws = [
            raw_tensor(column.tobytes(), [count], name=name)
            for name, column in zip(names, matrix.T, strict=True)
        ]
        assert parse(model, *columns[::-1]).rows.tolist() == matrix.tolist()
        assert Parser(model).parse(*binary(*raws[::-1])).rows.tolist() == matrix.tolist()

    @pytest.mark.parametrize("datatype", sorted(CODES))
    @given(st.data())
    def test_json_and_binary_agree_for_every_datatype_of_numbers(self, datatype, data):
        code = CODES[datatype]
        if datatype == "BOOL":
            elements = st.booleans()
        elif code[-2] == "f":
            width = 8 * int(code[-1])
            elements = st.floats(allow_nan=False, allow_infinity=False, width=width)
        else:
            limits = np.iinfo(code)
            low, high = max(limits.min, -(2**53) + 1), min(limits.max, 2**53 - 1)
            elements = st.integers(int(low), int(high))
        matrix = data.draw(matrices(elements)).astype(code)
        model = signature(matrix.shape[1])
        shape = list(matrix.shape)
        expected = matrix.astype(np.float64).tolist()
        assert parse(model, tensor(matrix.tolist(), shape, datatype)).rows.tolist() == expected
        content = binary(raw_tensor(matrix.tobytes(), shape, datatype))
        assert Parser(model).parse(*content).rows.tolist() == expected

    def test_a_matrix_of_raw_floats_is_not_copied_if_it_is_aligned(self):
        matrix = np.arange(6.0).reshape(3, 2)
        shares = set()
        for padding in range(8):
            head, raw = raw_tensor(matrix.tobytes(), [3, 2])
            content, length = binary(({**head, "name": "x" * padding}, raw))
            rows = Parser(TWO).parse(content, length).rows
            assert rows.tolist() == matrix.tolist()
            assert rows.flags.aligned
            shares.add(np.shares_memory(rows, np.frombuffer(content, np.uint8)))
        assert shares == {True, False}

    def test_the_largest_request_is_read(self):
        matrix = np.arange(2.0 * MAX_ROWS).reshape(MAX_ROWS, 2)
        assert np.array_equal(parse(TWO, tensor(matrix.tolist(), [MAX_ROWS, 2])).rows, matrix)

    def test_a_model_that_does_not_say_how_many_features_it_takes_gets_what_comes(self):
        model = signature(None)
        assert parse(model, tensor([1.0, 2.0, 3.0], [1, 3])).rows.tolist() == [[1.0, 2.0, 3.0]]

    def test_one_feature_needs_no_second_dimension(self):
        assert parse(signature(1), tensor([1.0, 2.0], [2])).rows.tolist() == [[1.0], [2.0]]


class TestNumbers:
    def test_whole_numbers_are_numbers_in_every_datatype(self):
        for datatype in sorted(set(CODES) - {"BOOL", "UINT8", "UINT16", "UINT32", "UINT64"}):
            assert parse(TWO, tensor([1, -2], [1, 2], datatype)).rows.tolist() == [[1.0, -2.0]]

    def test_fp32_and_fp16_are_rounded_to_what_the_type_holds(self):
        for datatype, kind in (("FP32", np.float32), ("FP16", np.float16)):
            rows = parse(TWO, tensor([0.1, 2.0], [1, 2], datatype)).rows
            assert rows[0, 0] == float(kind(0.1)) != 0.1

    @pytest.mark.parametrize("value", [2**53 + 1, -(2**53) - 1, 2**63 - 1])
    def test_an_integer_that_float64_would_change_is_refused_not_rounded(self, value):
        what = "row 0, column 1: an integer beyond 2^53 that float64"
        assert what in refused(body(tensor([1, value], [1, 2], "INT64"))).message
        raw = np.array([1, value], "<i8").tobytes()
        content, length = binary(raw_tensor(raw, [1, 2], "INT64"))
        assert what in refused(content, TWO, length).message
        columns = [tensor([v], [1], "INT64", name) for name, v in (("a", 1), ("b", value))]
        assert (
            "column 1 ('b')"
            in refused(body(*columns), signature(2, feature_names=("a", "b"))).message
        )

    @pytest.mark.parametrize(("datatype", "value"), [("INT64", -(2**63)), ("UINT64", 2**63)])
    def test_a_large_integer_that_float64_holds_is_taken(self, datatype, value):
        assert parse(TWO, tensor([1, value], [1, 2], datatype)).rows.tolist() == [[1.0, value]]

    def test_truth_values_are_numbers(self):
        rows = parse(TWO, tensor([True, False], [1, 2], "BOOL")).rows
        assert rows.dtype == np.float64
        assert rows.tolist() == [[1.0, 0.0]]


class TestMissingValues:
    @pytest.mark.parametrize("datatype", ["FP64", "FP32", "FP16", "INT64", "UINT8"])
    def test_null_is_nan_where_the_model_takes_that(self, datatype):
        for data in ([None, 2, 3, 4], [[None, 2], [3, 4]]):
            rows = parse(INCOMPLETE, tensor(data, [2, 2], datatype)).rows
            assert rows.dtype == np.float64
            assert math.isnan(rows[0, 0])
            assert rows[1].tolist() == [3.0, 4.0]

    def test_null_is_nan_among_truth_values_and_named_columns(self):
        model = signature(2, feature_names=("a", "b"), missing=frozenset({0, 1}))
        columns = tensor([None, True], [2], "BOOL", "a"), tensor([1, None], [2], "FP64", "b")
        assert np.isnan(parse(model, *columns).rows).tolist() == [[True, False], [False, True]]

    def test_nan_in_raw_bytes_is_missing_too(self):
        raw = np.array([math.nan, 2.0]).tobytes()
        content, length = binary(raw_tensor(raw, [1, 2]))
        assert np.isnan(Parser(INCOMPLETE).parse(content, length).rows).tolist() == [[True, False]]
        message = "inputs[0].data: row 0, column 0: a value is missing, and the model takes none"
        assert message in refused(content, TWO, length).message

    @pytest.mark.parametrize("datatype", ["FP64", "FP32", "INT64"])
    def test_otherwise_the_error_names_row_and_column(self, datatype):
        message = refused(body(tensor([1, 2, 3, None], [2, 2], datatype))).message
        assert message.startswith("inputs[0].data: row 1, column 1: a value is missing")

    def test_and_the_name_of_the_column(self):
        message = refused(body(tensor([1, None, 3], [1, 3])), NAMED).message
        assert "row 0, column 1 ('income'): a value is missing" in message

    @pytest.mark.parametrize("forms", ["matrix", "columns", "raw"])
    def test_it_may_be_missing_in_some_columns_only(self, forms):
        model = signature(2, feature_names=("a", "b"), missing=frozenset({1}))

        def content(rows):
            if forms == "matrix":
                return body(tensor(rows, [2, 2])), None
            if forms == "raw":
                return binary(raw_tensor(np.array(rows, np.float64).tobytes(), [2, 2]))
            cells = zip("ab", zip(*rows, strict=True), strict=True)
            return body(*(tensor(list(cell), [2], name=name) for name, cell in cells)), None

        rows = Parser(model).parse(*content([[1.0, None], [3.0, None]])).rows
        assert np.isnan(rows).tolist() == [[False, True]] * 2
        wrong, length = content([[1.0, None], [None, 4.0]])
        assert "row 1, column 0 ('a'): a value is missing" in refused(wrong, model, length).message

    @pytest.mark.parametrize("model", [TWO, INCOMPLETE])
    def test_infinity_is_refused(self, model):
        for number in (math.inf, -math.inf):
            content, length = binary(raw_tensor(np.array([1, number]).tobytes(), [1, 2]))
            message = refused(content, model, length).message
            assert "row 0, column 1: a number is infinite" in message


class TestColumns:
    COLUMNS = (
        tensor([1.0], [1], name="age"),
        tensor([2.0], [1], name="income"),
        tensor([3.0], [1], name="height"),
    )

    def test_datatypes_may_differ_by_column(self):
        age = tensor([1], [1], "INT64", "age")
        height = tensor([True], [1], "BOOL", "height")
        assert parse(NAMED, height, age, self.COLUMNS[1]).rows.tolist() == [[1.0, 2.0, 1.0]]

    def test_a_missing_column_is_named(self):
        message = refused(body(*self.COLUMNS[:2]), NAMED).message
        assert message == "inputs: column 'height' is missing"
        message = refused(body(self.COLUMNS[1]), NAMED).message
        assert message == "inputs: column 'age' and 1 more is missing"

    def test_an_unknown_column_is_named(self):
        message = refused(body(*self.COLUMNS, tensor([1.0], [1], name="size")), NAMED).message
        assert message == "inputs[3].name: the model has no column 'size'"

    def test_a_column_that_comes_twice_is_named(self):
        message = refused(body(*self.COLUMNS, self.COLUMNS[0]), NAMED).message
        assert message == "inputs[3].name: column 'age' comes twice"

    def test_columns_of_different_length_are_named(self):
        longer = tensor([1.0, 2.0], [2], name="height")
        message = refused(body(*self.COLUMNS[:2], longer), NAMED).message
        assert message == "inputs[2].shape: column 'height' has 2 rows, 'age' has 1"

    def test_a_matrix_among_columns_is_refused(self):
        matrix = tensor([1.0, 2.0], [1, 2], name="height")
        message = refused(body(*self.COLUMNS[:2], matrix), NAMED).message
        assert "[rows] or [rows, 1] is expected of column 'height', got [1, 2]" in message

    def test_a_model_without_names_takes_one_matrix(self):
        message = refused(body(*self.COLUMNS), signature(3)).message
        assert message == (
            "inputs: one tensor of shape [rows, features] is expected, got 3: this model knows no"
            " names of columns"
        )


class TestText:
    AGE = tensor([40.0, 41.0], [2], name="age")
    PAID = tensor([7, 8], [2], "INT64", "paid")
    COLOUR = tensor(["rød", "blue"], [2], "BYTES", "colour")
    ROWS = ((40.0, "rød", 7.0), (41.0, "blue", 8.0))

    def test_columns_of_text_and_numbers(self):
        rows = parse(MIXED, self.COLOUR, self.PAID, self.AGE).rows
        assert rows.dtype == object
        assert rows.tolist() == [*map(list, self.ROWS)]
        assert {type(value) for value in rows[:, 2]} == {float}

    def test_a_column_of_raw_text(self):
        head, raw = raw_tensor(raw_text("rød", "blue"), [2], "BYTES", "colour")
        content, length = binary((self.AGE, b""), (head, raw), (self.PAID, b""))
        assert Parser(MIXED).parse(content, length).rows.tolist() == [*map(list, self.ROWS)]

    def test_a_table_of_mixed_columns_in_one_tensor(self):
        for data in (self.ROWS, [value for row in self.ROWS for value in row]):
            assert parse(MIXED, tensor(data, [2, 3], "BYTES")).rows.tolist() == [
                *map(list, self.ROWS)
            ]

    def test_in_a_table_of_text_numbers_may_be_spelled(self):
        texts = ["40", "rød", "7.0", "4.1e1", "blue", "+8"]
        assert parse(MIXED, tensor(texts, [2, 3], "BYTES")).rows.tolist() == [*map(list, self.ROWS)]
        content, length = binary(raw_tensor(raw_text(*texts), [2, 3], "BYTES"))
        assert Parser(MIXED).parse(content, length).rows.tolist() == [*map(list, self.ROWS)]

    @pytest.mark.parametrize("text", ["nan", "inf", " 1", "1_0", "", "0x1", "1e", "ten"])
    def test_what_is_no_number_is_refused_where_the_model_takes_one(self, text):
        message = refused(body(tensor([[text, "red", "1"]], [1, 3], "BYTES")), MIXED).message
        assert message == (
            "inputs[0].data: row 0, column 0 ('age'): text where the model takes a number"
        )

    def test_integers_reach_a_categorical_column_unchanged(self):
        codes = tensor([2**53 + 1, 3], [2], "INT64", "colour")
        rows = parse(MIXED, self.AGE, codes, self.PAID).rows
        assert rows[:, 1].tolist() == [2**53 + 1, 3]
        assert {type(value) for value in rows[:, 1]} == {int}

    def test_missing_text_is_nan_where_the_model_takes_that(self):
        colour = tensor(["red", None], [2], "BYTES", "colour")
        rows = parse(MIXED_INCOMPLETE, self.AGE, colour, self.PAID).rows
        assert rows[0, 1] == "red"
        assert math.isnan(rows[1, 1])
        message = refused(body(self.AGE, colour, self.PAID), MIXED).message
        assert "inputs[1].data: row 1, column 1 ('colour'): a value is missing" in message

    def test_infinity_is_refused_in_a_categorical_column_too(self):
        content, length = binary(
            (self.AGE, b""),
            raw_tensor(np.array([1.0, math.inf]).tobytes(), [2], name="colour"),
            (self.PAID, b""),
        )
        message = refused(content, MIXED_INCOMPLETE, length).message
        assert message == "inputs[1].data: row 1, column 1 ('colour'): a number is infinite"

    def test_text_for_a_column_of_numbers_is_refused(self):
        age = tensor(["40", "41"], [2], "BYTES", "age")
        message = refused(body(age, self.COLOUR, self.PAID), MIXED).message
        assert "column 0 ('age'): BYTES where the model takes a number" in message
        message = refused(body(tensor(["1", "2"], [1, 2], "BYTES"))).message
        assert "BYTES where the model takes a number" in message

    @pytest.mark.parametrize(
        ("raw", "message"),
        [
            (raw_text("red"), "inputs[0].data: shape [2] needs 2 values, got 1"),
            (raw_text("red", "blue")[:-1], "inputs[0].data: shape [2] needs 2 values, got 1"),
            (raw_text("red", "blue", "x"), "inputs[0].data: 5 bytes follow the last element"),
            (raw_text("red") + b"\1\0", "inputs[0].data: shape [2] needs 2 values, got 1"),
            (raw_text("red", b"\xff"), "inputs[0].data: row 1: the text is not UTF-8"),
            (b"\xff\xff\xff\xff", "inputs[0].data: shape [2] needs 2 values, got 0"),
        ],
    )
    def test_broken_raw_text_is_refused(self, raw, message):
        content, length = binary(raw_tensor(raw, [2], "BYTES", "colour"))
        assert refused(content, MIXED, length).message == message

    @given(st.lists(st.text(), min_size=1, max_size=8))
    def test_raw_and_json_text_are_the_same(self, texts):
        model = signature(1, categorical=frozenset({0}))
        shape = [len(texts), 1]
        content, length = binary(raw_tensor(raw_text(*texts), shape, "BYTES"))
        expected = [[text] for text in texts]
        assert Parser(model).parse(content, length).rows.tolist() == expected
        assert parse(model, tensor(texts, shape, "BYTES")).rows.tolist() == expected


class TestIdOutputsAndParameters:
    def test_id_and_outputs(self):
        query = parse(TWO, tensor([1, 2], [1, 2]), id="a", outputs=[{"name": "predict"}])
        assert query.id == "a"
        assert query.outputs.names == {"predict", "receipt"}
        assert query.outputs.binary == frozenset()

    @pytest.mark.parametrize("more", [{}, {"outputs": []}, {"outputs": None}, {"parameters": {}}])
    def test_everything_comes_unless_outputs_are_asked_for(self, more):
        query = parse(TWO, tensor([1, 2], [1, 2]), **more)
        assert query.id is None
        assert query.outputs.names == {"predict", "predict_proba", "receipt"}
        assert query.outputs.binary == frozenset()

    def test_decision_scores_are_an_output_of_models_that_have_them(self):
        model = signature(2, probabilities=False, decisions=1)
        names = parse(model, tensor([1, 2], [1, 2])).outputs.names
        assert names == {"predict", "decision_function", "receipt"}
        request = body(tensor([1, 2], [1, 2]), outputs=[{"name": "decision_function"}])
        assert Parser(model).parse(request).outputs.names == {"decision_function", "receipt"}
        assert refused(request).message == (
            "outputs[0].name: 'decision_function' is not an output of this model"
            " (predict, predict_proba, receipt)"
        )

    def test_binary_answers_are_asked_for_all_or_one_by_one(self):
        wants = {"binary_data": True}
        one = parse(
            TWO,
            tensor([1, 2], [1, 2]),
            outputs=[{"name": "predict", "parameters": wants}, {"name": "predict_proba"}],
        )
        assert one.outputs.binary == {"predict"}
        everything = {"parameters": {"binary_data_output": True}}
        query = parse(TWO, tensor([1, 2], [1, 2]), **everything)
        assert query.outputs.binary == {"predict", "predict_proba", "receipt"}
        but_one = [{"name": "predict", "parameters": {"binary_data": False}}]
        query = parse(TWO, tensor([1, 2], [1, 2]), outputs=but_one, **everything)
        assert query.outputs.binary == {"receipt"}

    def test_parameters_are_allowed_everywhere(self):
        more = {"parameters": {"a": 1, "b": "x", "c": True}}
        query = parse(
            TWO, tensor([1, 2], [1, 2], **more), outputs=[{"name": "predict", **more}], **more
        )
        assert query.rows.tolist() == [[1.0, 2.0]]


class TestErrors:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "the body is not an inference request: "),
            (b"{", "the body is not an inference request: "),
            (b"\xff\xfe", "the body is not an inference request: "),
            (b"[]", "the body is not an inference request: "),
            (b"{}", "the body is not an inference request: Object missing required field `inputs`"),
            (b'{"inputs": []}', "inputs: a tensor of shape [rows, features] is expected, got none"),
            (body({"shape": [1, 2], "datatype": "FP64", "data": [1, 2]}), "required field `name`"),
            (
                body({"name": "x", "shape": [1, 2], "datatype": "FP64"}),
                "inputs[0].data: is missing",
            ),
            (body(tensor([1, 2], [1, 2]), id=7), "`$.id`"),
            (body(tensor([1, 2], [1, 2], "BF16")), "inputs[0].datatype: 'BF16' is not one of BOOL"),
            (body(tensor([1, 2], [2])), "inputs[0].shape: [rows, features] is expected, got [2]"),
            (body(tensor([1, 2], [1, 2, 1])), "inputs[0].shape: [rows, features], or [rows]"),
            (body(tensor([1, 2], [1] * 9)), "inputs[0].shape: [rows, features], or [rows] for one"),
            (body(tensor([1, 2], [])), "inputs[0].shape: [rows, features], or [rows] for one"),
            (body(tensor([], [0, 2])), "inputs[0].shape: [rows, features], or [rows] for one"),
            (body(tensor([1, 2], [-1, -2])), "inputs[0].shape: [rows, features], or [rows] for"),
            (body(tensor([1.0], [1, 1])), "inputs[0].shape: the model takes 2 features, got 1"),
            (body(tensor([1.0], [1, 2])), "inputs[0].data: shape [1, 2] needs 2 values, got 1"),
            (body(tensor([[1, 2], [3, 4]], [1, 2])), "inputs[0].data: shape [1, 2] needs 2 values"),
            (body(tensor([[1], [2]], [1, 2])), "inputs[0].data: is nested as [2, 1], shape says"),
            (body(tensor([[1], [2, 3]], [1, 2])), "inputs[0].data: rows differ in length"),
            (body(tensor([[1], 2], [1, 2])), "inputs[0].data: rows differ in length"),
            (
                body(tensor([[[1, 2]]], [1, 2])),
                "inputs[0].data: shape [1, 2] needs 2 values, got 1",
            ),
            (body(tensor({"a": 1}, [1, 2])), "inputs[0].data: an array is expected"),
            (body(tensor(None, [1, 2])), "inputs[0].data: an array is expected"),
            (body(tensor([1, "2"], [1, 2])), "row 0, column 1: text where FP64 is declared"),
            (body(tensor([1, True], [1, 2])), "row 0, column 1: a truth value where FP64 is"),
            (body(tensor([1, 2.5], [1, 2], "INT64")), "row 0, column 1: a number where INT64 is"),
            (body(tensor([1, 2.0], [1, 2], "INT64")), "row 0, column 1: a number where INT64 is"),
            (body(tensor([0, 1], [1, 2], "BOOL")), "row 0, column 0: an integer where BOOL is"),
            (body(tensor([1, 2**63], [1, 2], "INT64")), "row 0, column 1: does not fit into INT64"),
            (body(tensor([1, -1], [1, 2], "UINT64")), "row 0, column 1: does not fit into UINT64"),
            (body(tensor([1, 128], [1, 2], "INT8")), "row 0, column 1: does not fit into INT8"),
            (body(tensor([None, 128], [1, 2], "INT8")), "row 0, column 1: does not fit into INT8"),
            (body(tensor([1, 1e39], [1, 2], "FP32")), "row 0, column 1: does not fit into FP32"),
            (body(tensor([1, 65520], [1, 2], "FP16")), "row 0, column 1: does not fit into FP16"),
            (body(tensor([1, 2], [1, 2]), outputs=[{"name": "x"}]), "outputs[0].name: 'x' is not"),
            (body(tensor([1.5, 2], [1, 2])).replace(b"1.5", b"NaN"), "the body is not an infe"),
            (body(tensor([1.5, 2], [1, 2])).replace(b"1.5", b"1e999"), "inputs[0].data: "),
            (
                body(tensor([1.5, 2], [1, 2])).replace(b"1.5", b"[" * 9999),
                "the body is not an infe",
            ),
            (b'{"a":' + b"[" * 100_000, "the body is not an inference request: it is nested too"),
        ],
    )
    def test_an_error_names_the_field_and_the_cause(self, content, message):
        error = refused(content)
        assert message in error.message
        assert error.status == 400

    def test_too_many_rows_is_413(self):
        error = refused(body(tensor([0] * 20_002, [10_001, 2])))
        assert "at most 10000 rows in one request, got 10001" in error.message
        assert error.status == 413

    @pytest.mark.parametrize("shape", [[1, 10**30], [9999, 10**4299], [10**4299, 2]])
    def test_a_size_beyond_all_bodies_is_413(self, shape):
        error = refused(body(tensor([1], shape)))
        assert error.message == "inputs[0].shape: a dimension is larger than 2147483648"
        assert error.status == 413

    def test_an_error_does_not_carry_a_long_name_back(self):
        error = refused(body(tensor([1, 2], [1, 2]), outputs=[{"name": "x" * 10**6}]))
        assert len(error.message) < 200

    def test_no_error_quotes_a_value(self):
        for datatype in CODES:
            columns = [f"{number}" for number in (123456789.123, 10**40, -987654321)]
            data = f'[{", ".join(columns)}, "secret"]'
            content = body(tensor([], [2, 2], datatype)).replace(b"[]", data.encode())
            message = refused(content).message
            assert not any(part in message for part in ("123456789", "987654321", "secret"))

    @pytest.mark.parametrize(
        ("tensors", "message"),
        [
            ([raw_tensor(b"\0" * 15, [1, 2])], "inputs[0].data: shape [1, 2] takes 16 bytes, got"),
            ([raw_tensor(b"\0" * 24, [1, 2])], "inputs[0].data: shape [1, 2] takes 16 bytes, got"),
            ([raw_tensor(b"\0\2", [1, 2], "BOOL")], "row 0, column 1: a BOOL is the byte 0 or 1"),
            ([(tensor([1, 2], [1, 2]), b"\0")], "1 bytes at the end of the body belong to no inp"),
            (
                [(tensor([1], [1, 1], parameters={"binary_data_size": 8}), b"\0" * 8)],
                "inputs[0].parameters.binary_data_size: excludes data",
            ),
            (
                [({**raw_tensor(b"", [1, 2])[0], "parameters": {"binary_data_size": 9}}, b"\0")],
                "inputs[0].parameters.binary_data_size: 9 bytes, but 1 are left in the body",
            ),
            (
                [({**raw_tensor(b"", [1, 2])[0], "parameters": {"binary_data_size": -1}}, b"\0")],
                "inputs[0].parameters.binary_data_size: -1 bytes, but 1 are left in the body",
            ),
            (
                [({**raw_tensor(b"", [1, 2])[0], "parameters": {"binary_data_size": "9"}}, b"\0")],
                "the body is not an inference request: Expected `int | null`",
            ),
        ],
    )
    def test_sizes_of_raw_tensors_are_checked(self, tensors, message):
        content, length = binary(*tensors)
        assert message in refused(content, TWO, length).message

    def test_raw_tensors_need_the_header(self):
        content, length = binary(raw_tensor(b"\0" * 16, [1, 2]))
        assert (
            "needs the header inference-header-content-length" in refused(content[:length]).message
        )
        message = f"inference-header-content-length: {len(content) + 1} of a body of"
        assert message in refused(content, TWO, len(content) + 1).message

    @pytest.mark.parametrize("header", ["", "-1", "1e2", " 1", "²", "9" * 13, "0x10"])
    def test_the_header_is_a_number(self, header):
        with pytest.raises(ProtocolError, match="a number of bytes is expected"):
            json_length_of(header)

    def test_a_missing_header_is_none(self):
        assert json_length_of(None) is None
        assert json_length_of("017") == 17

    def test_what_is_not_supported_is_refused_not_passed_over(self):
        shared = {"shared_memory_region": "r", "shared_memory_byte_size": 8}
        given = {**raw_tensor(b"", [1, 2])[0], "parameters": shared}
        assert "inputs[0].parameters.shared_memory_region" in refused(body(given)).message
        for parameters in (shared, {"classification": 2}):
            outputs = [{"name": "predict", "parameters": parameters}]
            message = refused(body(tensor([1, 2], [1, 2]), outputs=outputs)).message
            assert f"outputs[0].parameters.{next(iter(parameters))}" in message
            assert "not supported" in message


jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
wild_tensors = st.fixed_dictionaries(
    {"name": st.sampled_from(["age", "colour", "paid", "x"])},
    optional={
        "shape": st.lists(st.integers(-1, 4), max_size=3) | jsons,
        "datatype": st.sampled_from([*CODES, "BYTES", "x"]),
        "data": st.lists(st.lists(jsons, max_size=3) | jsons, max_size=6),
        "parameters": st.dictionaries(
            st.sampled_from(["binary_data_size", "shared_memory_region", "a"]), jsons, max_size=2
        )
        | jsons,
    },
)


class TestNothingElseIsEverRaised:
    @given(st.binary(max_size=200), st.none() | st.integers(0, 300))
    def test_by_any_bytes(self, garbage, json_length):
        refused(garbage, TWO, json_length)

    @given(
        st.lists(wild_tensors, max_size=4),
        st.dictionaries(st.sampled_from(["id", "outputs", "parameters"]), jsons),
        st.binary(max_size=40),
        st.sampled_from([TWO, NAMED, INCOMPLETE, MIXED, MIXED_INCOMPLETE, signature(None)]),
    )
    def test_by_anything_that_looks_like_a_request(self, tensors, more, raw, model):
        head = json.dumps({"inputs": tensors, **more}).encode()
        for content, json_length in ((head, None), (head + raw, len(head))):
            with suppress(ProtocolError):
                assert Parser(model).parse(content, json_length).rows.ndim == 2

    @given(
        matrices(finite | st.integers(-(2**60), 2**60)), st.sampled_from(["FP64", "FP32", "INT64"])
    )
    def test_and_the_fast_way_gives_what_the_general_way_gives(self, matrix, datatype):
        names = tuple("abcdefgh"[: matrix.shape[1]])
        model = signature(matrix.shape[1], feature_names=names)
        shape = list(matrix.shape)
        whole = [tensor(matrix.tolist(), shape, datatype)]
        columns = [
            tensor(column.tolist(), shape[:1], datatype, name)
            for name, column in zip(names, matrix.T, strict=True)
        ]
        for content in (body(*whole), body(*columns)):
            fast, general = Parser(model), Parser(model)
            general._width = 0
            answers = []
            for parser in (fast, general):
                try:
                    answers.append(parser.parse(content).rows.tolist())
                except ProtocolError as error:
                    answers.append(error.message)
            assert answers[0] == answers[1]
