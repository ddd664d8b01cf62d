// A datastore in JavaScript, written against the bare contract: a shared folder.
//
// Built by componentize-js, see build.sh. The imports are the interfaces of wit/datastore.wit.
//
// What the remote holds:
//
//     objects/{name}               one version of one file; no other version and no other file has its name
//     pushes/{number}-{random}     what one push changed, as JSON; all of them in order are the index
//
// Each is written once and under a name that nobody else takes, so two pushes share nothing that one could spoil for the
// other: that is why `scoped-sync` can be promised. A push is one file that appears at once, so a reader sees all of it
// or nothing, and what was cut off before that is invisible. The price: pushes pile up, and a pull reads all of them. A datastore
// for many pushes would merge them from time to time, and would have to be careful there.

import * as store from 'wasi:config/store@0.2.0-rc.1';
import * as host from 'lockkeeper:datastore/host@0.1.0';
import * as files from './files.js';

export const capabilities = {
  capabilities: () => ({ scopedSync: true }),
};

export const sync = {
  async push({ changes }) {
    const remote = configured();
    if (!changes) {
      throw fatal('this datastore pushes what the host says has changed, and this host does not say it');
    }
    const index = remote.index();
    const report = { files: 0n, unchanged: 0n, bytes: 0n, deletions: 0n };
    const [push, replaced, conflicts] = [new Map(), [], []];
    for (const { tag, val: file } of named()) {
      const held = index.get(file.path);
      if (tag === 'deleted') {
        report.deletions++;
        if (!held) continue;
      } else if (held?.digest === file.digest) {
        report.unchanged++;
        continue;
      }
      // The remote may be changed only where it holds what this repository last synced.
      const conflict = held ? held.digest !== file.base : file.base && index.has(file.path);
      if (conflict) conflicts.push(file.path);
      if (held) replaced.push(held.object);
      push.set(file.path, tag === 'written' ? file : null);
    }
    if (conflicts.length) throw { tag: 'conflict', val: conflicts };

    for (const [path, file] of push) {
      if (!file) continue;
      push.set(path, await remote.upload(file));
      report.files++;
      report.bytes += file.size;
      checkCancelled();
    }
    if (push.size) remote.commit(push);
    replaced.forEach((name) => remote.remove(name));
    return report;
  },

  async pull({ scope }) {
    const remote = configured();
    const report = { files: 0n, bytes: 0n, deletions: 0n };
    for (const [path, entry] of remote.index()) {
      if (!path.startsWith(scope ?? '')) continue;
      if (!entry) {
        if (host.delete(path)) report.deletions++;
      } else if (host.wants(path, entry.digest)) {
        const content = await remote.download(path, entry);
        inCache(path, (target) => {
          files.makeFolder(target.slice(0, target.lastIndexOf('/')));
          files.write(target, content);
        });
        report.files++;
        report.bytes += BigInt(content.length);
        checkCancelled();
      }
    }
    return report;
  },
};

/// The granted folder that `root` names.
function configured() {
  const root = store.get('root');
  if (!root) throw { tag: 'config', val: failure('`root` must name a granted folder') };
  try {
    if (files.list(root)) return new Remote(root);
  } catch {
    // No folder leads there.
  }
  throw { tag: 'config', val: failure(`\`root\` is ${root}, and no folder was granted under that name`) };
}

class Remote {
  constructor(root) {
    this.root = root;
  }

  /// What each path holds: an entry, or null if it was deleted.
  index() {
    const index = new Map();
    for (const name of this.pushes()) {
      this.reach(`pushes/${name}`, (path) => {
        const push = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(files.read(path)));
        push.forEach(([path, entry]) => index.set(path, entry));
      });
    }
    return index;
  }

  pushes() {
    return this.reach('pushes', (path) => files.list(path) ?? []).sort();
  }

  commit(push) {
    const last = this.pushes().reduce((last, name) => Math.max(last, Number.parseInt(name, 10)), 0);
    const number = String(last + 1).padStart(16, '0');
    this.write(`pushes/${number}-${random()}`, new TextEncoder().encode(JSON.stringify([...push])));
  }

  async upload({ path, size, digest }) {
    const content = inCache(path, files.read);
    if (content?.length !== Number(size)) {
      throw { tag: 'retry', val: failure('the file changed while it was being pushed', path) };
    }
    const object = await sha256(new TextEncoder().encode(`${digest} ${path}`));
    this.write(`objects/${object}`, content);
    return { digest, object, sha256: await sha256(content) };
  }

  async download(path, entry) {
    const content = this.reach(`objects/${entry.object}`, files.read);
    if (!content || (await sha256(content)) !== entry.sha256) {
      throw { tag: 'retry', val: failure('the remote holds something else than was pushed', path) };
    }
    return content;
  }

  remove(name) {
    this.reach(`objects/${name}`, files.remove);
  }

  /// Writes a file that lasts, and that nobody sees before it is complete.
  write(name, content) {
    this.reach(name, (path) => {
      const folder = path.slice(0, path.lastIndexOf('/'));
      const unfinished = `${this.root}/unfinished-${random()}`;
      files.makeFolder(folder);
      files.write(unfinished, content);
      files.rename(unfinished, path);
      files.syncFolder(folder);
    });
  }

  reach(name, action) {
    try {
      return action(`${this.root}/${name}`);
    } catch (error) {
      throw { tag: 'retry', val: failure(`the remote folder: ${files.code(error)}`, name) };
    }
  }
}

function* named() {
  for (let page; (page = host.nextChanges(1024)).length; ) yield* page;
}

function inCache(path, action) {
  try {
    return action(`/cache/${path}`);
  } catch (error) {
    throw fatal(`the cache: ${files.code(error)}`, path);
  }
}

function checkCancelled() {
  if (host.cancelled()) throw { tag: 'retry', val: failure('the host asked to stop') };
}

async function sha256(content) {
  return hexadecimal(new Uint8Array(await crypto.subtle.digest('SHA-256', content)));
}

function random() {
  return hexadecimal(crypto.getRandomValues(new Uint8Array(8)));
}

function hexadecimal(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function fatal(message, path) {
  return { tag: 'fatal', val: failure(message, path) };
}

function failure(message, path) {
  return { message, path, status: undefined, requestId: undefined };
}
