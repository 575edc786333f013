package org.img2imu.core

import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtSession
import ai.onnxruntime.TensorInfo
import java.io.File
import java.io.IOException

/** An ONNX or ORT file in ONNX Runtime. */
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

    /** Ends the profile that this model was opened with. */
    fun endProfile(): Profile {
        val file = File(session.endProfiling())
        return try {
            Profile.parse(file.readText())
        } catch (error: IOException) {
            throw InputError("the runtime's profile cannot be read: ${error.message}", error)
        } finally {
            file.delete()
        }
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

        /** What this build of the runtime has. */
        val providers: List<Provider>
            get() = OrtEnvironment.getAvailableProviders().map { it.getName() }.let { names ->
                Provider.entries.filter { it.runtimeName in names }
            }

        /**
         * Opens the content of a file.
         *
         * @param profile beginning of the path of the file that [endProfile] reads; null for no profile
         * @throws InputError if it is not a model of this toolkit, or the runtime lacks the provider
         */
        fun open(content: ByteArray, execution: Execution = Execution(), profile: String? = null): OnnxModel =
            open(execution, profile) { environment, options -> environment.createSession(content, options) }

        /** Opens the file at [path]; as above. */
        fun open(path: String, execution: Execution = Execution(), profile: String? = null): OnnxModel =
            open(execution, profile) { environment, options -> environment.createSession(path, options) }

        private inline fun open(
            execution: Execution,
            profile: String?,
            create: (OrtEnvironment, OrtSession.SessionOptions) -> OrtSession,
        ): OnnxModel {
            ensure(execution.provider in providers) {
                "this ONNX Runtime has no ${execution.provider.title}; it has ${providers.joinToString { it.title }}"
            }
            val environment = OrtEnvironment.getEnvironment()
            val session = try {
                OrtSession.SessionOptions().use { options ->
                    set(options, execution)
                    profile?.let(options::enableProfiling)
                    create(environment, options)
                }
            } catch (error: OrtException) {
                throw InputError("ONNX Runtime cannot open the model: ${error.message?.lineSequence()?.first()}", error)
            }
            return try {
                OnnxModel(environment, session)
            } catch (error: InputError) {
                session.close()
                throw error
            }
        }

        private fun set(options: OrtSession.SessionOptions, execution: Execution) {
            options.setIntraOpNumThreads(execution.threads)
            if (execution.provider == Provider.NNAPI) options.addNnapi()
            if (execution.provider == Provider.XNNPACK) {
                // It has threads of its own; the runtime's, waiting busily, would take the processors from them.
                options.addXnnpack(mapOf("intra_op_num_threads" to "${execution.threads}"))
                options.setIntraOpNumThreads(1)
                options.addConfigEntry("session.intra_op.allow_spinning", "0")
            }
        }
    }
}
