/** One gateway in a process of its own, an honest team beside the hostile one, and what both see. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { SilentDns } from './hostile-dns.ts';
import type { Question, Report } from './hostile-gateway.ts';
import type { Providers } from './hostile-provider.ts';

/** What one attack did to the process. */
export interface Damage {
  longestBlockMs: number;
  peakBytes: number;
  cpuSeconds: number;
  /** The honest team's slowest call. */
  slowestOtherMs: number;
  /** Set if the process ended, or did not answer any more. */
  lost?: string;
  /** What the attacker was told, or another figure of this attack. */
  note: string;
}

export type Attack = (arena: Arena) => Promise<string>;

interface Answered {
  status: number;
  text: string;
}

const masterKey = `sk-${'m'.repeat(43)}`;
const heapMegabytes = 1024;
const victimPauseMs = 20;

/** Bytes of a process: now, or at its peak since `resetPeak`. Linux only. */
function memoryOf(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const line = new RegExp(`${field}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1] ?? 0) * 1024;
}

export class Arena {
  readonly upstream: string;
  readonly requests: Map<string, number>;
  readonly #child: ChildProcess;
  readonly #port: number;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1024 });
  readonly #sockets: Socket[] = [];

  private constructor(child: ChildProcess, port: number, providers: Providers) {
    this.#child = child;
    this.#port = port;
    this.upstream = providers.url;
    this.requests = providers.requests;
  }

  /**
   * @param gateway the built `hostile-gateway.js`
   * @param dns starts the process where this is the only name server
   */
  static async open(gateway: string, providers: Providers, dns?: SilentDns): Promise<Arena> {
    const named = providers.url.replace('127.0.0.1', 'localhost');
    const words = [`--max-old-space-size=${heapMegabytes}`, gateway, `${providers.url},${named}`, masterKey];
    const [command, ...before] = dns?.command ?? [];
    const child = spawn(
      command ?? process.execPath,
      command === undefined ? words : [...before, process.execPath, ...words],
      {
        stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      },
    );
    const port = await new Promise<number>((resolve, reject) => {
      child.once('message', (message) => resolve(message as number));
      child.once('exit', () => reject(new Error('The gateway did not start.')));
    });
    return new Arena(child, port, providers);
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#agent.destroy();
    this.#child.kill('SIGKILL');
  }

  /** Runs one attack, no longer than `limitMs`, while the honest team calls all the time. @param prepare is not measured */
  async suffer(attack: Attack, limitMs: number, prepare?: Attack): Promise<Damage> {
    const { pid = 0 } = this.#child;
    await this.model('honest', 'model', 'good');
    const key = await this.key('honest');
    await prepare?.(this);
    for (let call = 0; call < 200; call++) await this.chat(key, '{"model":"model","messages":[]}');
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
    const idleBytes = memoryOf(pid, 'VmRSS');
    await this.#ask('reset');
    const honest = new Honest(() => this.chat(key, '{"model":"model","messages":[]}'));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<string>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not over after ${limitMs / 1000} s`)), limitMs);
    });
    const gone = new Promise<string>((_, reject) => {
      this.#child.once('exit', (code, signal) => reject(new Error(`the process ended (${signal ?? code})`)));
    });
    const damage = { longestBlockMs: 0, cpuSeconds: 0, note: '' };
    let lost: string | undefined;
    try {
      damage.note = await Promise.race([attack(this), late, gone]);
      Object.assign(damage, await Promise.race([this.#ask('report'), late, gone]));
    } catch (error) {
      lost = (error as Error).message;
      damage.longestBlockMs = limitMs;
    }
    clearTimeout(timer);
    const slowestOtherMs = honest.stop();
    const peakBytes =
      this.#child.exitCode === null && lost?.startsWith('the') !== true
        ? memoryOf(pid, 'VmHWM') - idleBytes
        : Number.NaN;
    return { ...damage, slowestOtherMs, peakBytes, ...(lost === undefined ? {} : { lost }) };
  }

  /** Adds a model whose provider answers as `answer` says. `team` null: a shared one. */
  async model(team: string | null, name: string, answer: string, params: object = {}): Promise<Answered> {
    return this.manage('/model/new', {
      model_name: name,
      litellm_params: {
        model: 'openai/gpt-4o',
        api_key: 'sk-0123456789abcdef0123456789',
        api_base: `${this.upstream}/${answer}`,
        ...params,
      },
      ...(team === null ? {} : { model_info: { team_id: team } }),
    });
  }

  async key(team: string, fields: object = {}): Promise<string> {
    const { text } = await this.manage('/key/generate', { team_id: team, ...fields });
    return (JSON.parse(text) as { key: string }).key;
  }

  manage(path: string, body?: object): Promise<Answered> {
    return this.send(masterKey, path, body === undefined ? undefined : JSON.stringify(body));
  }

  chat(key: string, body: string | Buffer, headers: Record<string, string> = {}): Promise<Answered> {
    return this.send(key, '/v1/chat/completions', body, headers);
  }

  /** One request, read to its end; a status of 0 if the connection broke. */
  send(
    key: string,
    path: string,
    body?: string | Buffer,
    headers: Record<string, string> = {},
  ): Promise<Answered> {
    return new Promise((resolve) => {
      const sent = request({
        agent: this.#agent,
        port: this.#port,
        host: '127.0.0.1',
        path,
        method: body === undefined ? 'GET' : 'POST',
        headers: {
          authorization: `Bearer ${key}`,
          ...(body === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }),
          ...headers,
        },
      });
      sent.on('error', () => resolve({ status: 0, text: '' }));
      sent.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => void (chunks.length < 100 && chunks.push(chunk)));
        response.on('error', () => resolve({ status: 0, text: '' }));
        response.on('close', () =>
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }),
        );
      });
      sent.end(body);
    });
  }

  /** A bare connection, closed with the arena. */
  socket(): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = connect(this.#port, '127.0.0.1', () => resolve(socket));
      socket.once('error', reject);
      socket.on('error', () => {});
      this.#sockets.push(socket);
    });
  }

  /** The head of a POST to chat completions. */
  head(key: string, length: number): string {
    return (
      'POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n' +
      `authorization: Bearer ${key}\r\ncontent-length: ${length}\r\n\r\n`
    );
  }

  #ask(question: Question): Promise<Report> {
    return new Promise((resolve) => {
      this.#child.once('message', (report) => resolve(report as Report));
      this.#child.send(question, () => {});
    });
  }
}

/** The honest team: one call after the other, until it is stopped. */
class Honest {
  #slowestMs = 0;
  #startedAt = performance.now();
  #stopped = false;

  constructor(call: () => Promise<unknown>) {
    const next = async (): Promise<void> => {
      while (!this.#stopped) {
        this.#startedAt = performance.now();
        await call();
        this.#slowestMs = Math.max(this.#slowestMs, performance.now() - this.#startedAt);
        await new Promise((resolve) => setTimeout(resolve, victimPauseMs));
        this.#startedAt = performance.now();
      }
    };
    void next();
  }

  /** Milliseconds of the slowest call, one that is still open among them. */
  stop(): number {
    this.#stopped = true;
    return Math.max(this.#slowestMs, performance.now() - this.#startedAt);
  }
}
