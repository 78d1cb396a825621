"""The layers, one prototxt type a file; `caffepy.layer` finds them by walking this folder."""
