"""llama.cpp's tokenizer, through the server in the package `xllamacpp`."""

import http.client
import json
import urllib.parse

import xllamacpp


class Llama:
    """The tokenizer of one GGUF file, which must be a whole model."""

    def __init__(self, path):
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path)
        parameters.n_ctx = 128
        parameters.warmup = False
        parameters.port = 0
        self.server = xllamacpp.Server(parameters)
        address = urllib.parse.urlsplit(self.server.listening_address)
        self.connection = http.client.HTTPConnection(address.hostname, address.port)

    def encode(self, text):
        """Ids of a text, in which control tokens are text like any other."""
        question = {"content": text, "add_special": False, "parse_special": False}
        return self.ask("/tokenize", question)["tokens"]

    def decode(self, ids):
        """The text of ids."""
        return self.ask("/detokenize", {"tokens": ids})["content"]

    def ask(self, path, question):
        headers = {"Content-Type": "application/json"}
        self.connection.request("POST", path, json.dumps(question), headers)
        return json.loads(self.connection.getresponse().read())
