package org.img2imu.demo

import android.content.Context
import org.img2imu.core.Execution
import org.img2imu.core.InputError
import org.img2imu.core.Model
import org.img2imu.core.OnnxModel
import org.img2imu.core.Provider
import org.img2imu.core.TorchScriptModel
import java.io.File
import java.io.IOException

/** The app's own classifier in one of its files, in the assets. */
enum class Variant(
    override val key: String,
    override val title: String,
    override val file: String,
    override val runtime: String,
) : ModelFile {
    END_TO_END("end-to-end", "ONNX, end to end", "model.onnx", "ONNX Runtime"),
    INT8("int8", "ONNX, end to end, int8", "model.int8.onnx", "ONNX Runtime"),
    IMAGE("image", "ONNX after Kotlin's pictures", "model.image.onnx", "ONNX Runtime"),
    TORCHSCRIPT("torchscript", "TorchScript, end to end", "model.pt", "PyTorch Mobile"),
    ;

    override fun bytes(context: Context) = content(context).size.toLong()

    override fun open(context: Context, execution: Execution, profile: String?): Model {
        val content = content(context)
        if (this != TORCHSCRIPT) return OnnxModel.open(content, execution, profile)
        if (execution.provider != Provider.CPU) throw InputError("PyTorch runs on the CPU: it has no ${execution.provider.title}")
        return openTorchScript(content, context.cacheDir, execution.threads)
    }

    private fun content(context: Context): ByteArray = try {
        context.assets.open(file).use { it.readBytes() }
    } catch (error: IOException) {
        throw InputError("This app was built without $file", error)
    }

    /** Its runtime reads files only: [scratch] is where one may be put. */
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
