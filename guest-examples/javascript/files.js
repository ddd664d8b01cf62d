// Files by their absolute paths, on top of wasi:filesystem.

import { getDirectories } from 'wasi:filesystem/preopens@0.2.12';

const LARGEST_READ = 1n << 20n;

/// The folders that were given to this component, and where. Asked for at the first call: at build time there are none.
let granted;

/// The content of a file; undefined if there is none.
export function read(path) {
  return ifPresent(() =>
    opened(path, {}, { read: true }, (file) => {
      const chunks = [];
      let offset = 0n;
      for (let end = false; !end; ) {
        const [chunk, last] = file.read(LARGEST_READ, offset);
        chunks.push(chunk);
        offset += BigInt(chunk.length);
        end = last || chunk.length === 0;
      }
      return joined(chunks, Number(offset));
    }),
  );
}

/// Writes a new file, or over an old one, and makes it last.
export function write(path, content) {
  opened(path, { create: true, truncate: true }, { write: true }, (file) => {
    for (let offset = 0; offset < content.length; ) {
      offset += Number(file.write(content.subarray(offset), BigInt(offset)));
    }
    file.sync();
  });
}

export function rename(from, to) {
  const [source, name] = located(from);
  const [target, newName] = located(to);
  source.renameAt(name, target, newName);
}

/// Removes a file, if it is there.
export function remove(path) {
  const [folder, name] = located(path);
  ifPresent(() => folder.unlinkFileAt(name));
}

/// Makes a folder and those above it.
export function makeFolder(path) {
  const [folder, name] = located(path);
  const segments = name.split('/').filter((segment) => segment !== '.');
  segments.forEach((_, index) => {
    try {
      folder.createDirectoryAt(segments.slice(0, index + 1).join('/'));
    } catch (error) {
      if (code(error) !== 'exist') throw error;
    }
  });
}

/// Makes what was done to the names in a folder last, where the file system can.
export function syncFolder(path) {
  try {
    opened(path, { directory: true }, {}, (folder) => folder.sync());
  } catch {
    // Then it has to do without.
  }
}

/// The names in a folder; undefined if there is none.
export function list(path) {
  return ifPresent(() =>
    opened(path, { directory: true }, { read: true }, (folder) => {
      const names = [];
      const stream = folder.readDirectory();
      for (let entry; (entry = stream.readDirectoryEntry()); ) names.push(entry.name);
      return names;
    }),
  );
}

/// What went wrong, as wasi:filesystem calls it.
export function code(error) {
  return error?.payload ?? String(error);
}

function ifPresent(action) {
  try {
    return action();
  } catch (error) {
    if (code(error) !== 'no-entry') throw error;
  }
}

function opened(path, how, flags, action) {
  const [folder, name] = located(path);
  const descriptor = folder.openAt({ symlinkFollow: true }, name, how, flags);
  try {
    return action(descriptor);
  } finally {
    descriptor[Symbol.dispose]();
  }
}

/// The folder that was given to this component and leads to the path, and what follows after it.
function located(path) {
  let best;
  granted ??= getDirectories();
  for (const [folder, name] of granted) {
    const fits = path === name || path.startsWith(`${name}/`);
    if (fits && (!best || name.length > best[1].length)) best = [folder, name];
  }
  if (!best) throw { payload: 'not-permitted' };
  return [best[0], path.slice(best[1].length + 1) || '.'];
}

function joined(chunks, length) {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
