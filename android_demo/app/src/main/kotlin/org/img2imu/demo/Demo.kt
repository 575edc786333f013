package org.img2imu.demo

import android.content.Context
import android.os.Handler
import android.os.HandlerThread
import org.img2imu.core.Files
import org.img2imu.core.Golden
import org.img2imu.core.InputError
import org.img2imu.core.Pipeline

/**
 * What outlives a rotation: the worker thread, and what each screen has found so far.
 *
 * Screens start and stop things on the main thread; all else happens on the worker.
 */
class Demo(val context: Context) {
    private val thread = HandlerThread("img2imu").apply { start() }
    val worker = Handler(thread.looper)

    /** Models that label streams, the present one last; one that was left may still be at work. */
    private val pipelines = ArrayList<Pipeline>()

    val live = Live(this)
    val playback = Playback(this)
    val recorder = Recorder(context)
    val opened = OpenedFiles(context)
    val bench = Bench(this)
    val selfTest = SelfTest(this)

    /** The screen shown last. */
    var tab = Tab.LIVE

    /** Does [task] on the worker; its failure is told to [failed] in one sentence. */
    fun work(failed: (String) -> Unit, task: () -> Unit) {
        worker.post {
            try {
                task()
            } catch (error: InputError) {
                failed(checkNotNull(error.message))
            }
        }
    }

    /** The model that labels streams, opened when first needed; worker thread only. */
    fun pipeline(): Pipeline {
        if (pipelines.isEmpty()) label(Variant.END_TO_END)
        return pipelines.last()
    }

    /** Lets [file] label streams that begin from now on; worker thread only. */
    fun label(file: ModelFile) {
        pipelines += Pipeline(open(file))
    }

    fun open(file: ModelFile) = file.open(context)

    fun golden(): Golden = Golden.read(Files { name -> context.assets.open("golden/$name").use { it.readBytes() } })

    /** Ends everything; nothing may be asked of it afterwards. */
    fun close() {
        live.stop()
        playback.pause()
        recorder.close()
        bench.cancel()
        worker.post { pipelines.forEach(Pipeline::close) }
        thread.quitSafely()
    }
}
