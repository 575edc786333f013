package org.img2imu.core

import org.pytorch.Device
import org.pytorch.IValue
import org.pytorch.Module
import org.pytorch.Tensor

/** A TorchScript file in PyTorch's own runtime for Android, as in the paper. */
class TorchScriptModel private constructor(private val module: Module, override val info: ModelInfo) : Model {
    private val answer = Answer(info.labels)
    private val buffer = directFloats(info.inputSize)
    private val input = IValue.from(Tensor.fromBlob(buffer, info.inputShape()))

    override fun run(input: FloatArray): Answer {
        require(input.size == info.inputSize) { "${input.size} numbers instead of ${info.inputSize}" }
        buffer.rewind()
        buffer.put(input)
        val (probabilities, logits) = module.forward(this.input).toTuple()
        probabilities.toTensor().dataAsFloatArray.copyInto(answer.probabilities)
        logits.toTensor().dataAsFloatArray.copyInto(answer.logits)
        return answer
    }

    override fun close() = module.destroy()

    companion object {
        private const val METADATA = "metadata.json"

        /**
         * Opens the file at [path].
         *
         * @throws InputError if it is not a model of this toolkit
         */
        fun open(path: String): TorchScriptModel {
            // The runtime replaces the text if the archive holds a file of this name.
            val files = hashMapOf(METADATA to "")
            val module = try {
                Module.load(path, files, Device.CPU)
            } catch (error: RuntimeException) {
                throw InputError("PyTorch cannot open the model: ${error.message}", error)
            }
            return try {
                TorchScriptModel(module, ModelInfo.parse(files.getValue(METADATA)))
            } catch (error: InputError) {
                module.destroy()
                throw error
            }
        }
    }
}
