//! Weight files of others and of our own: GGUF, safetensors, CTranslate2.
