"""The same graph with fewer operators: a sentence alone waits for each, however little it computes.

A view is a value with the elements of another in the same order: a reshape, or a transpose that moves axes of size 1.

* Operators that work on every row by itself read rows (N, D) and not a view of them, so that no view lies between them.
* Several views in a row become one, whose shape is constant where at most one size is unknown.
* A product and its bias become one operator, and equal views of the parts of a split become one of the whole.
* Masks of scores are added, once made for all layers.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Arrays = dict[str, NDArray[Any]]
Size = tuple[int, ...]  # of an axis, with each of the example inputs
Shape = tuple[Size, ...]

VIEWS = {"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Transpose"}
ELEMENTWISE = {
    "Abs", "Add", "And", "Cast", "Ceil", "Clip", "Cos", "Div", "Equal", "Erf", "Exp", "Floor", "Gelu", "Greater",
    "GreaterOrEqual", "IsNaN", "Less", "LessOrEqual", "Log", "Max", "Min", "Mul", "Neg", "Not", "Or", "Pow",
    "Reciprocal", "Relu", "Sigmoid", "Sign", "Sin", "Sqrt", "Sub", "Tanh", "Where",
}  # fmt: skip
LOWEST = -1e38  # a score below it has no weight, and adding any other score to it changes nothing
# work along one axis; by default this one
ALONG_AXIS = {"Concat": 0, "LayerNormalization": -1, "LogSoftmax": -1, "Softmax": -1, "Split": 0}


def simplify(model: onnx.ModelProto, examples: Sequence[Arrays]) -> None:
    """Change a graph in place. examples: inputs of several sizes, by which the sizes of all values are told apart."""
    simplifier = _Simplifier(model.graph, _shapes(model, examples))
    simplifier.merge_views()
    simplifier.join_biases()
    simplifier.view_before_splits()
    _set_nodes(model.graph, [*simplifier.size_nodes, *simplifier.nodes])
    keep(model, {output.name for output in model.graph.output})


def keep(model: onnx.ModelProto, outputs: Collection[str]) -> None:
    """Reduce a graph to some of its outputs, and to the nodes, weights and inputs that they need."""
    needed, graph = sources(model.graph.node, outputs), model.graph
    for part in (graph.output, graph.initializer, graph.input):
        names = set(outputs) if part is graph.output else needed
        kept = [value for value in part if value.name in names]
        del part[:]
        part.extend(kept)
    _set_nodes(graph, [node for node in graph.node if needed.intersection(node.output)])


def sources(nodes: Iterable[onnx.NodeProto], outputs: Iterable[str]) -> set[str]:
    """`outputs`, and all values that they are computed from."""
    made_by = {name: node for node in nodes for name in node.output}
    found: set[str] = set()
    names = list(outputs)
    while names:
        name = names.pop()
        if name not in found:
            found.add(name)
            names += made_by[name].input if name in made_by else ()
    return found


def _shapes(model: onnx.ModelProto, examples: Sequence[Arrays]) -> dict[str, Shape]:
    """The shapes of all values, as they are with the examples: those that exporters note are wrong in places."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    names = [name for node in model.graph.node for name in node.output if name]
    del shown.graph.output[:]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(shown.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found = []
    for inputs in examples:
        fed = {value.name: inputs[value.name] for value in model.graph.input}
        values = fed | dict(zip(names, session.run(names, fed), strict=True))
        found.append({name: value.shape for name, value in values.items()})
    shapes = {name: tuple(zip(*(sizes[name] for sizes in found), strict=True)) for name in found[0]}
    return shapes | {
        weight.name: tuple((n,) * len(examples) for n in weight.dims) for weight in model.graph.initializer
    }


class _Simplifier:
    """The nodes of a graph, and the shapes of their values."""

    def __init__(self, graph: onnx.GraphProto, shapes: dict[str, Shape]) -> None:
        self.graph, self.shapes = graph, shapes
        self.constants = {weight.name: weight for weight in graph.initializer}
        self.outputs = {output.name for output in graph.output}
        self.nodes: list[onnx.NodeProto] = []  # those of the simpler graph
        self.size_nodes: list[onnx.NodeProto] = []  # which come before them, and compute shapes
        self.origins: dict[str, str] = {}  # view -> the value whose elements it has, which is no view
        self.views: dict[str, onnx.NodeProto] = {}  # view -> its node in the graph as it was
        self.repeated: dict[str, str] = {}  # value -> the one of one element that it repeats
        self.negated: dict[str, str] = {}  # not x -> x
        self.transposed: dict[str, str] = {}  # transpose of a matrix -> the matrix
        self.conditions = Counter(node.input[0] for node in graph.node if node.op_type == "Where")
        self.written: dict[Any, str] = {}  # views and sizes that are there already
        read = {name for node in graph.node if node.op_type != "Shape" for name in node.input}
        inputs = [value.name for value in graph.input if value.name in read]
        self.sizes = {size: (name, axis) for name in reversed(inputs) for axis, size in enumerate(shapes[name])}

    def merge_views(self) -> None:
        """Write views only where an operator needs them."""
        for node in list(self.graph.node):
            if (viewed := self.viewed(node)) is not None:
                name = node.output[0]
                self.views[name], self.origins[name] = node, self.origin(viewed)
            else:
                self.write(node)
        for output in self.graph.output:
            self.write_output(output.name)

    def viewed(self, node: onnx.NodeProto) -> str | None:
        """The value whose elements the output of a node has in their order, if it only reads or arranges them."""
        x, kind = node.input[0], node.op_type
        before, after = self.shapes[x], self.shapes[node.output[0]]
        if x in self.constants or any(0 in size for size in before):
            return None
        if kind == "Expand" and _has_one(before):
            self.repeated[node.output[0]] = x
        if kind in {"Gather", "Slice"} and _has_one(after):
            return self.repeated.get(x, x if _has_one(before) else None)
        if kind == "Transpose":
            moved = [axis for axis in _attribute(node, "perm") if set(before[axis]) != {1}]
            return x if moved == sorted(moved) else None
        return x if kind in VIEWS else None

    def origin(self, name: str) -> str:
        """The value whose elements `name` has."""
        return self.origins.get(name, name)

    def write(self, node: onnx.NodeProto) -> None:
        """Write a node that is no view, with rows in the shape that they are in already if it may have any."""
        if node.op_type == "Not":
            self.negated[node.output[0]] = node.input[0]
        if node.op_type == "Transpose" and len(self.shapes[node.input[0]]) == 2:
            self.transposed[node.output[0]] = node.input[0]
        if node.op_type == "MatMul":
            node = self.product(node)
        if node.op_type == "Where":
            node = self.choose(node)
        layout = self.layout(node)
        node.input[:] = [self.view(name, layout[name]) if name in layout else self.value(name) for name in node.input]
        for i, name in enumerate(node.output):
            if name in layout and layout[name] != self.shapes[name]:
                node.output[i] = self.origins[name] = f"{name}_rows"
                self.shapes[node.output[i]] = layout[name]
        if layout and node.op_type in ALONG_AXIS:
            for attribute in node.attribute:
                if attribute.name == "axis":
                    attribute.i = -1  # the number of the axes before it may be another now
        self.nodes.append(node)

    def product(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """x W of a matrix W, or of the transpose of one, as a Gemm, which takes rows and may have a bias."""
        x, factor = node.input
        if len(self.shapes[factor]) != 2 or len(self.shapes[x]) < 2:
            return node
        matrix = self.transposed.get(factor, factor)
        return helper.make_node("Gemm", [x, matrix], node.output, transB=int(matrix != factor))

    def choose(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """A Where without a negation, or the sum with a mask of scores (..., T, S) that several layers share."""
        shared = self.conditions[node.input[0]] > 1
        if node.input[0] in self.negated:
            node.input[:] = [self.negated[node.input[0]], node.input[2], node.input[1]]
        condition, scores, number = node.input
        value = numpy_helper.to_array(self.constants[number]) if number in self.constants else np.zeros(())
        repeated = self.shapes[scores] == self.shapes[node.output[0]] != self.shapes[condition]
        return self.add_mask(node) if shared and repeated and value.ndim == 0 and value < LOWEST else node

    def add_mask(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """A sum with a mask that is written once: ONNX Runtime repeats it faster than a condition."""
        condition, scores, number = node.input
        key = "mask", self.value(condition), number
        if key not in self.written:
            name = self.written[key] = f"mask{len(self.written)}"
            zero = f"{name}_zero"
            self.graph.initializer.append(numpy_helper.from_array(np.zeros((), np.float32), zero))
            self.nodes.append(helper.make_node("Where", [key[1], zero, number], [name]))
            self.shapes[name], self.shapes[zero] = self.shapes[condition], ()
        return helper.make_node("Add", [scores, self.written[key]], node.output)

    def layout(self, node: onnx.NodeProto) -> dict[str, Shape]:
        """Other shapes that inputs and outputs of a node can have together, if it treats every row by itself."""
        out = self.shapes[node.output[0]]
        if node.op_type == "Gather":
            index = node.input[1]
            lookup = node.input[0] in self.constants and not _attribute(node, "axis", 0)
            if not lookup or index not in self.origins or not self.shapes[index]:
                return {}
            flat = (_product(self.shapes[index]),)
            return {index: flat, node.output[0]: (*flat, *out[len(self.shapes[index]) :])}
        if not self.treats_rows(node):
            return {}
        read = {name for name in node.input if name}
        full = {name for name in read - self.constants.keys() if len(self.shapes[name]) == len(out)}
        full = {name for name in full if self.shapes[name][:-1] == out[:-1]}
        rest = {name: self.broadcast(name) for name in read - full}  # the same for each row
        same = {self.shapes[self.origin(name)] for name in full if self.shapes[name] == out}
        kept = self.outputs.intersection(node.output)
        if node.op_type in ELEMENTWISE and len(same) == 1 and all(map(_has_one, rest.values())) and not kept:
            (shape,) = same  # any does
            if all(self.shapes[name] == out for name in full) and all(len(one) <= len(shape) for one in rest.values()):
                return rest | dict.fromkeys([*full, *node.output], shape)
        if not full or len(out) < 2 or (rest and node.op_type == "Concat"):
            return {}
        lead = self.lead(node, out, full)
        layout = {name: (*lead, self.shapes[name][-1]) for name in [*full, *node.output]}
        fits = node.op_type == "Gemm" or all(
            _has_one(shape[:-1]) and len(shape) <= len(lead) + 1 for shape in rest.values()
        )
        possible = all(self.target(self.shapes[self.origin(name)], layout[name]) for name in full)
        return rest | layout if fits and possible else {}

    def broadcast(self, name: str) -> Shape:
        """The shape of a value, without leading axes of size 1 that its origin does not have."""
        shape, origin = self.shapes[name], self.shapes[self.origin(name)]
        cut = len(shape) - len(origin)
        return origin if cut > 0 and shape[cut:] == origin and _has_one(shape[:cut]) else shape

    def lead(self, node: onnx.NodeProto, out: Shape, full: set[str]) -> Shape:
        """The shape in which the rows of a node are laid out: flat for a product, or if they are so already."""
        flat: Shape = (_product(out[:-1]),)
        leads = [self.shapes[self.origin(name)][:-1] for name in full if self.keeps_rows(name)]
        if node.op_type == "Gemm":
            return flat
        if self.outputs.intersection(node.output):  # an output would be copied to be seen in another shape
            return out[:-1]
        if flat in leads:
            return flat
        return leads[0] if len(leads) == len(full) and len(set(leads)) == 1 else out[:-1]

    def keeps_rows(self, name: str) -> bool:
        """Whether a value has the rows of its origin, in whatever shape."""
        return self.shapes[self.origin(name)][-1:] == self.shapes[name][-1:]

    def treats_rows(self, node: onnx.NodeProto) -> bool:
        """Whether a node computes each row (..., D) of its output from the same row of its inputs."""
        rank = len(self.shapes[node.input[0]])
        if node.op_type == "Gemm":
            return rank > 2
        if node.op_type in ALONG_AXIS:
            return _attribute(node, "axis", ALONG_AXIS[node.op_type]) in (-1, rank - 1)
        return node.op_type in ELEMENTWISE

    def value(self, name: str) -> str:
        """A value with its elements and shape, which is written if it is not there."""
        return self.view(name, self.shapes[name]) if name in self.origins else name

    def view(self, name: str, shape: Shape) -> str:
        """A value with the elements of `name` in another shape."""
        origin = self.origin(name)
        if self.shapes[origin] == shape:
            return origin
        if (origin, shape) not in self.written:
            target = self.target(self.shapes[origin], shape)
            new = name if shape == self.shapes[name] else f"{origin}_view{len(self.written)}"
            if target is not None:
                self.nodes.append(helper.make_node("Reshape", [origin, target], [new]))
            else:  # as it was before
                node = self.views[name]
                node.input[:] = [self.value(one) for one in node.input]
                self.nodes.append(node)
            self.shapes[new] = shape
            self.written[origin, shape] = new
        return self.written[origin, shape]

    def target(self, before: Shape, after: Shape) -> str | None:
        """The input of a Reshape that says the shape after it; None if too many sizes are not those of inputs."""
        sizes = [
            size[0] if len(set(size)) == 1 else 0 if size in before[at : at + 1] else -1
            for at, size in enumerate(after)
        ]  # 0: as in the input, -1: the rest
        if sizes.count(-1) <= 1:
            return self.constant(sizes)
        rest = {size for size, n in zip(after, sizes, strict=True) if n < 1 and size not in self.sizes}
        if len(rest) > 1:
            return None
        parts: list[list[int] | tuple[str, int, int]] = []  # constants, or axes of an input: its name, first, end
        for size, n in zip(after, sizes, strict=True):
            last = parts[-1] if parts else None
            if n > 0 or size in rest:
                if isinstance(last, list):
                    last.append(n or -1)
                else:
                    parts.append([n or -1])
                continue
            name, axis = self.sizes[size]
            if isinstance(last, tuple) and last[0] == name and last[2] == axis:
                parts[-1] = name, last[1], axis + 1
            else:
                parts.append((name, axis, axis + 1))
        inputs = [
            self.constant(part) if isinstance(part, list) else self.once("Shape", [part[0]], start=part[1], end=part[2])
            for part in parts
        ]
        return inputs[0] if len(inputs) == 1 else self.once("Concat", inputs, axis=0)

    def constant(self, values: Sequence[int]) -> str:
        """A constant of sizes (N)."""
        name = f"sizes_{'_'.join(map(str, values))}"
        if name not in self.written:
            self.graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return self.written.setdefault(name, name)

    def once(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """The output of a node that computes sizes and is written once."""
        key = (kind, *inputs, *attributes.values())
        if key not in self.written:
            self.written[key] = f"size{len(self.written)}"
            self.size_nodes.append(helper.make_node(kind, inputs, [self.written[key]], **attributes))
        return self.written[key]

    def write_output(self, name: str) -> None:
        """Give an output of the graph its name."""
        value = self.value(name)
        if value == name:
            return
        made = {output for node in self.nodes for output in node.output}
        if value not in made or value in self.outputs:
            self.nodes.append(helper.make_node("Identity", [value], [name]))
            return
        for node in self.nodes:
            for names in (node.input, node.output):
                names[:] = [name if one == value else one for one in names]
        self.shapes[name] = self.shapes[value]
        self.origins.pop(name)
        self.origins |= {view: name for view, origin in self.origins.items() if origin == value}
        self.written |= {key: name for key, one in self.written.items() if one == value}

    def join_biases(self) -> None:
        """x W + b in one operator."""
        readers = self.readers()
        for node in list(self.nodes):
            (add,) = readers[node.output[0]] if len(readers[node.output[0]]) == 1 else (node,)
            if node.op_type != "Gemm" or len(node.input) > 2 or add.op_type != "Add":
                continue
            bias = [name for name in add.input if len(self.shapes[name]) == 1]
            if bias:
                transposed = _attribute(node, "transB", 0)
                joined = helper.make_node("Gemm", [*node.input, *bias], add.output, transB=transposed)
                self.replace([node, add], [joined], at=add)

    def view_before_splits(self) -> None:
        """One view and transpose of x in place of those of each of the equal parts of x."""
        readers = self.readers()
        for split in [node for node in self.nodes if node.op_type == "Split"]:
            views = [node for name in split.output for node in readers[name]]
            moves = [node for view in views for name in view.output for node in readers[name]]
            count, x = len(split.output), split.input[0]
            if [node.op_type for node in (*views, *moves)] != ["Reshape"] * count + ["Transpose"] * count:
                continue
            orders = {tuple(_attribute(node, "perm")) for node in moves}
            shapes = {self.shapes[view.output[0]] for view in views}
            if len(orders) > 1 or len(shapes) > 1:
                continue
            (order,), ((*lead, parts, size),) = orders, shapes
            target = self.target(self.shapes[x], (*lead, tuple(n * count for n in parts), size))
            if target is not None:
                made, axis = [node.output[0] for node in moves], order.index(len(lead))
                whole = [
                    helper.make_node("Reshape", [x, target], [f"{x}_parts"]),
                    helper.make_node("Transpose", [f"{x}_parts"], [f"{x}_moved"], perm=order),
                    helper.make_node("Split", [f"{x}_moved"], made, axis=axis, num_outputs=count),
                ]
                self.replace([split, *views, *moves], whole, at=split)

    def readers(self) -> dict[str, list[onnx.NodeProto]]:
        """The nodes that read each value and are needed; an output of the graph is read once more."""
        needed = sources(self.nodes, self.outputs)
        found: dict[str, list[onnx.NodeProto]] = {name: [] for node in self.nodes for name in node.output}
        for node in [node for node in self.nodes if needed.intersection(node.output)]:
            for name in node.input:
                found.setdefault(name, []).append(node)
        for name in self.outputs:
            found[name].append(onnx.NodeProto())
        return found

    def replace(self, old: Sequence[onnx.NodeProto], new: Sequence[onnx.NodeProto], at: onnx.NodeProto) -> None:
        """Put nodes in the place `at` of old ones."""
        place = next(i for i, node in enumerate(self.nodes) if node is at)
        nodes = [*self.nodes[:place], *new, *self.nodes[place:]]
        self.nodes = [node for node in nodes if not any(node is one for one in old)]


def _has_one(shape: Shape) -> bool:
    """Whether a value of this shape has one element."""
    return all(set(size) == {1} for size in shape)


def _product(sizes: Sequence[Size]) -> Size:
    """The size of several axes as one."""
    return tuple(math.prod(of_example) for of_example in zip(*sizes, strict=True))


def _attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """An attribute of a node."""
    return next((helper.get_attribute_value(one) for one in node.attribute if one.name == name), default)


def _set_nodes(graph: onnx.GraphProto, nodes: Iterable[onnx.NodeProto]) -> None:
    """Replace the nodes of a graph."""
    copies = [*nodes]
    del graph.node[:]
    graph.node.extend(copies)
