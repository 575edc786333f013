package org.img2imu.demo

import android.os.Handler
import android.os.Looper

/** A value that is set on any thread and watched on the main one. */
class Watched<T>(initial: T) {
    private val main = Handler(Looper.getMainLooper())
    private var watcher: ((T) -> Unit)? = null

    @Volatile
    var value: T = initial
        set(new) {
            field = new
            main.post { watcher?.invoke(value) }
        }

    /** Calls [watcher] now and on every change; null ends it. */
    fun watch(watcher: ((T) -> Unit)?) {
        this.watcher = watcher
        watcher?.invoke(value)
    }
}
