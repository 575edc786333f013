package org.img2imu.demo

import android.content.res.AssetManager
import org.img2imu.core.InputError
import org.img2imu.core.Model
import org.img2imu.core.OnnxModel
import org.img2imu.core.TorchScriptModel
import java.io.File
import java.io.IOException

/**
 * The same classifier in one of its files.
 *
 * @property key name in intents and reports
 * @property file in the assets
 */
enum class Variant(val key: String, val title: String, val file: String, val runtime: String) {
    END_TO_END("end-to-end", "ONNX, end to end", "model.onnx", "ONNX Runtime"),
    INT8("int8", "ONNX, end to end, int8", "model.int8.onnx", "ONNX Runtime"),
    IMAGE("image", "ONNX after Kotlin's pictures", "model.image.onnx", "ONNX Runtime"),
    TORCHSCRIPT("torchscript", "TorchScript, end to end", "model.pt", "PyTorch Mobile"),
    ;

    /**
     * Opens the model.
     *
     * @param scratch folder for what a runtime can only read from a file
     * @throws InputError in one sentence, if the file or its runtime is missing or broken
     */
    fun open(assets: AssetManager, scratch: File, threads: Int = 1): Model {
        val content = try {
            assets.open(file).use { it.readBytes() }
        } catch (error: IOException) {
            throw InputError("This app was built without $file", error)
        }
        return if (this == TORCHSCRIPT) openTorchScript(content, scratch, threads) else OnnxModel.open(content, threads)
    }

    private fun openTorchScript(content: ByteArray, scratch: File, threads: Int): Model {
        val copy = File(scratch, file)
        copy.writeBytes(content)
        return try {
            // Not in the library's part for the JVM, which this is compiled against.
            val settings = Class.forName("org.pytorch.PyTorchAndroid")
            settings.getMethod("setNumThreads", Int::class.java).invoke(null, threads)
            TorchScriptModel.open(copy.path)
        } catch (error: ReflectiveOperationException) {
            throw InputError(NO_PYTORCH, error)
        } catch (error: LinkageError) {
            throw InputError(NO_PYTORCH, error)
        } finally {
            copy.delete()
        }
    }

    companion object {
        private const val NO_PYTORCH =
            "PyTorch's native library cannot be loaded here: install img2imu-demo-torch.apk"

        /** @throws InputError if there is none of that name */
        fun of(key: String): Variant = entries.find { it.key == key }
            ?: throw InputError("Unknown form \"$key\"; known: ${entries.joinToString { it.key }}")
    }
}
