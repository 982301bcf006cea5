"""ONNX Runtime: inference of the model as an ONNX graph of a fixed batch, all graph optimisations on."""
import sys

import rival

NAME = "ONNX Runtime"
VARIANTS = {"infer": {"plain": True}}


def prepare(model, variant, threads):
    import numpy
    import onnx
    import onnxruntime
    return Program(numpy, onnx, onnxruntime, model, threads)


class Graph:
    """Nodes and initial values; images are NCHW inside."""

    def __init__(self, numpy, onnx):
        self.helper, self.from_array, self.numpy = onnx.helper, onnx.numpy_helper.from_array, numpy
        self.random = numpy.random.default_rng(1)
        self.nodes, self.values, self.parameters = [], [], 0

    def node(self, op, inputs, **attributes):
        output = "v%d" % len(self.nodes)
        self.nodes.append(self.helper.make_node(op, inputs, [output], **attributes))
        return output

    def value(self, array, trained=True):
        name = "w%d" % len(self.values)
        self.values.append(self.from_array(array.astype("float32"), name))
        self.parameters += array.size if trained else 0
        return name

    def weights(self, *shape):
        fan_in = self.numpy.prod(shape[1:])
        return self.value(self.random.normal(0, (2 / fan_in) ** 0.5, shape))

    def apply(self, layer, inputs, flat):
        """The name of the layer's output; flat: the first input has no pixels any more."""
        numpy = self.numpy
        x, channels = inputs[0], layer.shape[2]
        top, bottom, left, right = layer.pads
        window = {"kernel_shape": layer.window, "strides": layer.stride, "pads": (top, left, bottom, right)}
        bias = [self.value(numpy.zeros(layer.units))] if layer.op in ("conv", "dense") and layer.bias else []
        if layer.op == "conv":
            weights = self.weights(layer.units, channels // layer.groups, *layer.window)
            x = self.node("Conv", [x, weights] + bias, group=layer.groups, dilations=layer.dilation, **window)
        elif layer.op == "dense":
            x = x if flat else self.node("Flatten", [x])
            weights = self.weights(layer.units, layer.shape[0] * layer.shape[1] * channels)
            x = self.node("Gemm", [x, weights] + bias, transB=1)
        elif layer.op == "max_pool":
            x = self.node("MaxPool", [x], **window)
        elif layer.op == "average_pool":
            x = self.node("AveragePool", [x], **window)
        elif layer.op == "global_average_pool":
            x = self.node("Flatten", [self.node("GlobalAveragePool", [x])])
        elif layer.op == "flatten":
            x = x if flat else self.node("Flatten", [x])
        elif layer.op == "batch_norm":
            ones, zeros = numpy.ones(channels), numpy.zeros(channels)
            names = [self.value(ones), self.value(zeros), self.value(zeros, False), self.value(ones, False)]
            x = self.node("BatchNormalization", [x] + names, epsilon=layer.epsilon)
        elif layer.op == "add":
            x = self.node("Add", inputs)
        elif layer.op == "softmax":
            x = self.node("Softmax", [x], axis=1)
        elif layer.op not in ("activation", "dropout"):
            rival.refuse(layer, NAME)
        names = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid"}
        if layer.activation and layer.activation not in names:
            rival.refuse(layer, NAME)
        return self.node(names[layer.activation], [x]) if layer.activation else x


class Program:
    def __init__(self, numpy, onnx, onnxruntime, model, threads):
        self.onnx, self.onnxruntime, self.numpy = onnx, onnxruntime, numpy
        self.versions, self.threads, self.shape = onnxruntime.__version__, threads, model.input
        self.graph = Graph(numpy, onnx)
        names, flat = {-1: "images"}, {-1: False}
        for place, layer in enumerate(model.layers):
            first = layer.inputs[0]
            names[place] = self.graph.apply(layer, [names[i] for i in layer.inputs], flat[first])
            flat[place] = flat[first] or layer.op in ("dense", "flatten", "global_average_pool")
        self.output, self.parameters = names[len(model.layers) - 1], self.graph.parameters
        self.classes = model.layers[-1].output[2]

    def infer(self, images):
        helper, kind = self.onnx.helper, self.onnx.TensorProto.FLOAT
        x = self.numpy.ascontiguousarray(images.transpose(0, 3, 1, 2))
        graph = helper.make_graph(self.graph.nodes, "model", [helper.make_tensor_value_info("images", kind, x.shape)],
                                  [helper.make_tensor_value_info(self.output, kind, (len(x), self.classes))], self.graph.values)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        self.onnx.checker.check_model(made)
        options = self.onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        session = self.onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, {"images": x})[0]


if __name__ == "__main__":
    rival.main(sys.modules[__name__])
