package org.img2imu.core

import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtSession
import ai.onnxruntime.TensorInfo

/** An ONNX or ORT file in ONNX Runtime on the CPU. */
class OnnxModel private constructor(environment: OrtEnvironment, private val session: OrtSession) : Model {
    override val info = ModelInfo.parse(session.metadata.customMetadata)
    private val answer = Answer(info.labels)
    private val inputName = if (info.form == Form.IMAGE) "image" else "window"

    init {
        requireInput()
        ensure(session.outputNames.containsAll(listOf(PROBABILITIES, LOGITS))) {
            "the model needs the outputs $PROBABILITIES and $LOGITS, not ${session.outputNames.joinToString()}"
        }
    }

    private val input = Floats(environment, info.inputShape())
    private val probabilities = Floats(environment, longArrayOf(1, info.labels.size.toLong()))
    private val logits = Floats(environment, longArrayOf(1, info.labels.size.toLong()))
    private val inputs = mapOf(inputName to input.tensor)
    private val strangeness = if (STRANGENESS in session.outputNames) Floats(environment, longArrayOf(1)) else null
    private val told = FloatArray(1)
    private val outputs = mapOf(PROBABILITIES to probabilities.tensor, LOGITS to logits.tensor) +
        listOfNotNull(strangeness).associate { STRANGENESS to it.tensor }

    override fun run(input: FloatArray): Answer {
        require(input.size == info.inputSize) { "${input.size} numbers instead of ${info.inputSize}" }
        this.input.write(input)
        session.run(inputs, outputs).close()
        probabilities.read(answer.probabilities)
        logits.read(answer.logits)
        if (strangeness != null) {
            strangeness.read(told)
            answer.strangeness = told[0]
        }
        return answer
    }

    override fun close() {
        for (floats in listOfNotNull(input, probabilities, logits, strangeness)) floats.tensor.close()
        session.close()
    }

    private fun requireInput() {
        ensure(session.inputNames == setOf(inputName)) {
            "a model of the form ${info.form.text} needs the input $inputName, not ${session.inputNames.joinToString()}"
        }
        val found = (session.inputInfo.getValue(inputName).info as? TensorInfo)?.shape?.drop(1)
        val expected = info.inputShape().drop(1)
        ensure(found == expected) { "the model's input is $found, but its metadata tell $expected" }
    }

    /** A tensor, and the memory outside the heap that it shares with the runtime. */
    private class Floats(environment: OrtEnvironment, shape: LongArray) {
        private val buffer = directFloats(shape.fold(1L, Long::times).toInt())
        val tensor: OnnxTensor = OnnxTensor.createTensor(environment, buffer, shape)

        fun write(values: FloatArray) {
            buffer.rewind()
            buffer.put(values)
        }

        fun read(values: FloatArray) {
            buffer.rewind()
            buffer.get(values)
        }
    }

    companion object {
        private const val PROBABILITIES = "probabilities"
        private const val LOGITS = "logits"
        private const val STRANGENESS = "strangeness"

        /**
         * Opens the content of a file.
         *
         * @param threads that work on one window
         * @throws InputError if it is not a model of this toolkit
         */
        fun open(content: ByteArray, threads: Int = 1): OnnxModel =
            open(threads) { environment, options -> environment.createSession(content, options) }

        /** Opens the file at [path]; as above. */
        fun open(path: String, threads: Int = 1): OnnxModel =
            open(threads) { environment, options -> environment.createSession(path, options) }

        private inline fun open(
            threads: Int,
            create: (OrtEnvironment, OrtSession.SessionOptions) -> OrtSession,
        ): OnnxModel {
            ensure(threads >= 1) { "threads must be at least 1, not $threads" }
            val environment = OrtEnvironment.getEnvironment()
            val session = try {
                OrtSession.SessionOptions().use { options ->
                    options.setIntraOpNumThreads(threads)
                    create(environment, options)
                }
            } catch (error: OrtException) {
                throw InputError("ONNX Runtime cannot open the model: ${error.message}", error)
            }
            return try {
                OnnxModel(environment, session)
            } catch (error: InputError) {
                session.close()
                throw error
            }
        }
    }
}
