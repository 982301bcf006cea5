"""Keras on TensorFlow: fit on numpy arrays, with and without XLA, and with several steps an execution."""
import os
import sys
import time

import rival

NAME = "Keras"
VARIANTS = {"train": {"plain": True, "16 steps an execution": True, "XLA": True}, "infer": {"plain": True, "XLA": True}}


def prepare(model, variant, threads):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    import tensorflow
    import keras
    tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
    keras.utils.set_random_seed(1)
    return Program(tensorflow, keras, model, variant)


def build(keras, model):
    layers = keras.layers

    def same(layer):
        return layer.same or not any(layer.pads)

    def padded(layer, x, make):
        """make(padding)(x), with zeros in front where the padding is not one of Keras's own."""
        if same(layer):
            return make("same" if layer.same else "valid")(x)
        top, bottom, left, right = layer.pads
        full = [(window - 1) * dilation for window, dilation in zip(layer.window, layer.dilation)]
        if layer.stride == (1, 1) and (top, left) == (bottom, right) == (full[0] / 2, full[1] / 2):
            return make("same")(x)
        if layer.op != "conv":
            rival.refuse(layer, NAME + " (padding by numbers)")
        return make("valid")(layers.ZeroPadding2D(((top, bottom), (left, right)))(x))

    def flat(x):
        return x if len(x.shape) == 2 else layers.Flatten()(x)

    def apply(layer, inputs):
        x = inputs[0]
        if layer.op == "conv":
            x = padded(layer, x, lambda padding: layers.Conv2D(layer.units, layer.window, layer.stride, padding, groups=layer.groups,
                                                               dilation_rate=layer.dilation, use_bias=layer.bias,
                                                               kernel_initializer=layer.init))
        elif layer.op == "dense":
            x = layers.Dense(layer.units, use_bias=layer.bias, kernel_initializer=layer.init)(flat(x))
        elif layer.op == "max_pool":
            x = padded(layer, x, lambda padding: layers.MaxPooling2D(layer.window, layer.stride, padding))
        elif layer.op == "average_pool":
            x = padded(layer, x, lambda padding: layers.AveragePooling2D(layer.window, layer.stride, padding))
        elif layer.op == "global_average_pool":
            x = layers.GlobalAveragePooling2D()(x)
        elif layer.op == "flatten":
            x = flat(x)
        elif layer.op == "batch_norm":
            x = layers.BatchNormalization(momentum=layer.momentum, epsilon=layer.epsilon)(x)
        elif layer.op == "add":
            x = layers.Add()(inputs)
        elif layer.op not in ("activation", "softmax"):
            rival.refuse(layer, NAME)
        name = "softmax" if layer.op == "softmax" else layer.activation
        if name and name not in ("relu", "tanh", "sigmoid", "softmax"):
            rival.refuse(layer, NAME)
        return layers.Activation(name)(x) if name else x

    values = {-1: layers.Input(model.input)}
    for place, layer in enumerate(model.layers):
        values[place] = apply(layer, [values[i] for i in layer.inputs])
    return keras.Model(values[-1], values[len(model.layers) - 1])


class Program:
    def __init__(self, tensorflow, keras, model, variant):
        self.tensorflow, self.keras = tensorflow, keras
        self.versions = "%s on TensorFlow %s" % (keras.__version__, tensorflow.__version__)
        self.model = build(keras, model)
        self.parameters = int(sum(weight.value.numpy().size for weight in self.model.trainable_weights))
        self.xla = variant == "XLA"
        self.at_once = 16 if variant.startswith("16") else 1

    def train(self, images, labels, batch, steps):
        keras = self.keras
        self.model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="sparse_categorical_crossentropy", jit_compile=self.xla,
                           steps_per_execution=min(self.at_once, steps))

        class Timer(keras.callbacks.Callback):
            """From the first step of an epoch to its end."""
            start = seconds = None

            def on_epoch_begin(self, epoch, logs=None):
                self.start = None

            def on_train_batch_begin(self, batch, logs=None):
                if self.start is None:
                    self.start = time.perf_counter()

            def on_epoch_end(self, epoch, logs=None):
                self.seconds = time.perf_counter() - self.start

        timer = Timer()
        while True:
            done = self.model.fit(images, labels, batch_size=batch, epochs=1, verbose=0, callbacks=[timer])
            yield timer.seconds, done.history["loss"][0]

    def infer(self, images):
        tensorflow = self.tensorflow
        x = tensorflow.constant(images)
        run = tensorflow.function(lambda x: self.model(x, training=False), jit_compile=self.xla)
        return lambda: run(x).numpy()


if __name__ == "__main__":
    rival.main(sys.modules[__name__])
