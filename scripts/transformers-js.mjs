#!/usr/bin/env node
// An exported speech model in transformers.js, offline.
//
//     npm install @huggingface/transformers     (in any folder; then say where it is:)
//     NODE_PATH=THAT_FOLDER/node_modules node scripts/transformers-js.mjs MODEL_FOLDER
//         [--dtype fp32|fp16|int8|q4] [--to xx] [--most TOKENS] CLIP.wav… | REFERENCE.safetensors
//
// Clips are WAV files of 16 kHz, mono, 16 bits or floats. A reference is what the example
// `onnx_reference` wrote: then the tokens of every clip must be those, and the exit status is 1 where
// they are not.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, resolve } from 'node:path';
import { parseArgs } from 'node:util';

// `import` does not look into NODE_PATH, `require` does.
const { AutoProcessor, LogitsProcessor, LogitsProcessorList, UltravoxModel, env } = createRequire(
  import.meta.url,
)('@huggingface/transformers');

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    dtype: { type: 'string', default: 'fp32' },
    to: { type: 'string' },
    most: { type: 'string', default: '448' },
  },
});
const [folder, ...files] = positionals;
if (!folder || files.length === 0) {
  console.error('usage: transformers-js.mjs FOLDER [--dtype D] [--to xx] CLIP.wav… | REFERENCE');
  process.exit(2);
}
env.allowRemoteModels = false;

/** Answers as the model was trained: the language's mark first, then text without marks. */
class Grammar extends LogitsProcessor {
  constructor(tokenizer, end, prompt, joint) {
    super();
    const id = (name) => tokenizer.convert_tokens_to_ids(name);
    this.first = tokenizer.all_special_tokens.filter((name) => name.startsWith('<lang:')).map(id);
    this.none = id('<lang:none>');
    this.joint = joint === undefined ? undefined : id(`<to:${joint}>`);
    this.never = tokenizer.all_special_ids.filter((id) => id !== end);
    [this.end, this.prompt] = [end, prompt];
  }

  _call(input_ids, logits) {
    for (let row = 0; row < input_ids.length; ++row) {
      const written = input_ids[row].slice(this.prompt).map(Number);
      const scores = logits[row].data;
      const only = (ids) => {
        const kept = ids.map((id) => scores[id]);
        scores.fill(-Infinity);
        ids.forEach((id, i) => (scores[id] = kept[i]));
      };
      if (written.length === 0) only(this.first);
      else if (written[0] === this.none) only([this.end]);
      else {
        const open = this.joint !== undefined && !written.includes(this.joint);
        const joint = open ? scores[this.joint] : undefined;
        for (const id of this.never) if (id < scores.length) scores[id] = -Infinity;
        if (open) [scores[this.joint], scores[this.end]] = [joint, -Infinity];
      }
    }
    return logits;
  }
}

/** Clips of a file: name, samples, and the tokens expected if they are known. */
function clips(path) {
  const file = readFileSync(path);
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  if (path.endsWith('.safetensors')) {
    const length = Number(view.getBigUint64(0, true));
    const header = JSON.parse(file.subarray(8, 8 + length).toString());
    const floats = (name) => {
      const [from, to] = header[name].data_offsets.map((at) => 8 + length + at);
      return new Float32Array(file.buffer.slice(file.byteOffset + from, file.byteOffset + to));
    };
    const names = Object.keys(header).filter((name) => name.endsWith('.samples'));
    const numbers = names.map((name) => parseInt(name)).sort((a, b) => a - b);
    return numbers.map((n) => ({
      name: `${n}`,
      samples: floats(`${n}.samples`),
      expected: Array.from(floats(`${n}.answer`)),
    }));
  }
  let [format, at] = [undefined, 12];
  while (at + 8 <= file.length) {
    const [name, length] = [file.toString('latin1', at, at + 4), view.getUint32(at + 4, true)];
    const field = (offset, bytes) =>
      bytes === 2 ? view.getUint16(at + 8 + offset, true) : view.getUint32(at + 8 + offset, true);
    if (name === 'fmt ') format = [field(2, 2), field(4, 4), field(14, 2)];
    if (name === 'data') {
      const [channels, rate, bits] = format ?? [];
      if (channels !== 1 || rate !== 16000 || ![16, 32].includes(bits))
        throw new Error(`${path}: not 16 kHz, mono, 16 bits or floats`);
      const count = Math.floor(Math.min(length, file.length - at - 8) / (bits / 8));
      const samples = Float32Array.from({ length: count }, (_, i) =>
        bits === 16
          ? view.getInt16(at + 8 + 2 * i, true) / 32768
          : view.getFloat32(at + 8 + 4 * i, true),
      );
      return [{ name: basename(path), samples }];
    }
    at += 8 + length + (length % 2);
  }
  throw new Error(`${path}: no samples`);
}

/** Whole frames of the encoder, as our own runtime reads them: 20 ms each. */
function whole(samples) {
  const padded = new Float32Array(Math.max(1, Math.ceil(samples.length / 320)) * 320);
  padded.set(samples);
  return padded;
}

const path = resolve(folder);
const begun = performance.now();
const processor = await AutoProcessor.from_pretrained(path, { local_files_only: true });
const model = await UltravoxModel.from_pretrained(path, {
  dtype: options.dtype,
  local_files_only: true,
});
const { tokenizer } = processor;
const end = model.generation_config?.eos_token_id ?? model.config.eos_token_id;
console.log(`loaded in ${((performance.now() - begun) / 1000).toFixed(1)} s`);
const task = options.to === undefined ? '<asr>' : `<st><to:${options.to}>`;
let wrong = 0;
for (const clip of files.flatMap(clips)) {
  const start = performance.now();
  const inputs = await processor(`<|audio|>${task}`, whole(clip.samples));
  const prompt = inputs.input_ids.dims.at(-1);
  const grammar = new LogitsProcessorList();
  grammar.push(new Grammar(tokenizer, end, prompt, options.to));
  const most = Math.min(Number(options.most), clip.expected?.length ?? Infinity);
  const output = await model.generate({
    ...inputs,
    max_new_tokens: Math.max(1, most),
    logits_processor: grammar,
  });
  const written = output.tolist()[0].slice(prompt).map(Number).filter((id) => id !== end);
  const text = tokenizer.decode(written, { skip_special_tokens: true }).trim();
  const spent = ((performance.now() - start) / 1000).toFixed(1);
  const seconds = (clip.samples.length / 16000).toFixed(1);
  let verdict = '';
  if (clip.expected !== undefined) {
    const same = clip.expected.slice(0, most).every((id, i) => id === written[i]);
    wrong += same ? 0 : 1;
    verdict = same ? ' as expected' : ' DIFFERENT';
  }
  console.log(`${clip.name} (${seconds} s in ${spent} s, ${written.length} tokens)${verdict}: ${text}`);
}
await model.dispose();
process.exit(wrong === 0 ? 0 : 1);
