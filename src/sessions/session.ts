import type { BodyEnd } from '../calls/response/relay.ts';
import { RouterError } from '../errors.ts';
import type { MemoryReservation } from '../memory-budget.ts';
import { closeCodeOf, errorEvent, passedCode, passedReason } from './close-codes.ts';
import type { SessionLimits } from './options.ts';
import type { SessionModels } from './session-models.ts';
import { SessionUsage } from './session-usage.ts';
import { asText, type SocketEnd, type SocketMessage, sizeOf } from './socket-end.ts';

/** The provider's part of a session. */
export interface Upstream {
  socket: SocketEnd;
  models: SessionModels;
  /** Returns a provider's text without the deployment's secrets. */
  redact(text: string): string;
  /** Reports the end of the session. */
  finish(end: BodyEnd): void;
  /** @throws RouterError if the caller may not use the deployment any more */
  check(): Promise<void>;
}

export interface SessionParts {
  limits: SessionLimits;
  reservation: MemoryReservation;
  now: () => number;
  /** Opens the provider's socket for the client's first event. */
  openLate: (event: string) => Promise<Upstream>;
  /** Runs when the session has ended, once. @param end of a session without an upstream, which reports its own end */
  released: (session: Session, end: BodyEnd) => void;
}

/** Unsent bytes of one end above which the other end is not read. */
const maxUnsentBytes = 262_144;
/** Milliseconds that the peers have to answer a close frame. */
const closeGraceMs = 2_000;

/** Relays the messages of one client and one provider. Holds no message back, and reads no faster than the other end takes. */
export class Session {
  readonly #parts: SessionParts;
  readonly #usage = new SessionUsage();
  readonly #startedAt: number;
  #client: SocketEnd | undefined;
  #upstream: Upstream | undefined;
  /** Events that came while the provider's socket was opened. */
  #waiting: SocketMessage[] | undefined;
  #activeAt: number;
  #pingedAt: number;
  #bytesAtPing = { client: 0, provider: 0 };
  #paused = { client: false, provider: false };
  #held = 0;
  #waitingBytes = 0;
  #ended = false;

  constructor(parts: SessionParts, upstream: Upstream | undefined) {
    this.#parts = parts;
    this.#upstream = upstream;
    this.#startedAt = parts.now();
    this.#activeAt = this.#startedAt;
    this.#pingedAt = this.#startedAt;
  }

  /** Maximum size in bytes of a client's message. */
  get maxMessageBytes(): number {
    return this.#parts.limits.maxMessageBytes;
  }

  get hasEnded(): boolean {
    return this.#ended;
  }

  /** Begins to relay. */
  attach(client: SocketEnd): void {
    this.#client = client;
    if (this.#ended) {
      client.terminate();
      return;
    }
    client.start({
      message: (message) => this.#guarded(() => this.#fromClient(message)),
      drained: () => this.#balance(),
      closed: (code, reason) => this.#clientClosed(code, reason),
    });
    if (this.#upstream !== undefined) this.#startUpstream(this.#upstream);
  }

  /** Ends the session. A client gets the error as an event, and a close frame with the code that belongs to it. */
  end(error: RouterError): void {
    if (this.#ended) return;
    this.#client?.send(errorEvent(error));
    this.#close(closeCodeOf(error), error.code, { error });
  }

  /** Ends a session whose client is gone before it was attached. */
  abandon(): void {
    this.#clientClosed(1006, '');
  }

  /** Ends a session whose time is over, whose peers are gone, or whose caller may not continue. Runs periodically. */
  async check(): Promise<void> {
    const { idleTimeoutMs, maxDurationMs, pingIntervalMs } = this.#parts.limits;
    const now = this.#parts.now();
    if (this.#ended) return;
    if (now - this.#startedAt >= maxDurationMs)
      return this.end(new RouterError('permission_denied', 'The session has reached its maximum duration.'));
    if (now - this.#activeAt >= idleTimeoutMs)
      return this.end(new RouterError('permission_denied', 'The session was idle for too long.'));
    if (now - this.#pingedAt >= pingIntervalMs) this.#guarded(() => this.#ping(now));
    try {
      await this.#upstream?.check();
    } catch (error) {
      const known = RouterError.isInstance(error) && error.code !== 'storage_unavailable';
      if (known) this.end(error);
    }
  }

  #fromClient(message: SocketMessage): void {
    this.#activeAt = this.#parts.now();
    const upstream = this.#upstream;
    if (upstream !== undefined) this.#toProvider(upstream, message);
    else if (this.#waiting !== undefined) {
      this.#waitingBytes += sizeOf(message);
      this.#waiting.push(message);
    } else void this.#open(message);
    this.#balance();
  }

  #toProvider({ socket, models }: Upstream, message: SocketMessage): void {
    const text = typeof message === 'string' ? message : asText(message);
    if (text === undefined) {
      socket.send(message);
      return;
    }
    try {
      const sent = models.toProvider(text);
      socket.send(sent === text ? message : sent);
    } catch (error) {
      if (!RouterError.isInstance(error)) throw error;
      // An event that names no model wrongly is malformed: nothing in it can be judged.
      if (error.param === null && error.code === 'invalid_request') this.#malformed(error);
      else this.#client?.send(errorEvent(error));
    }
  }

  async #open(first: SocketMessage): Promise<void> {
    this.#waiting = [];
    this.#waitingBytes = sizeOf(first);
    this.#pause('client');
    try {
      const text = typeof first === 'string' ? first : (asText(first) ?? '');
      const upstream = await this.#parts.openLate(text);
      if (this.#ended) {
        upstream.socket.terminate();
        upstream.finish({ left: true });
        return;
      }
      this.#upstream = upstream;
      this.#startUpstream(upstream);
      const waiting = [first, ...this.#waiting];
      this.#waiting = undefined;
      this.#waitingBytes = 0;
      for (const message of waiting) if (!this.#ended) this.#toProvider(upstream, message);
      this.#balance();
    } catch (error) {
      const known = RouterError.isInstance(error)
        ? error
        : new RouterError('internal_error', 'The router failed to open this session.');
      if (known.code === 'invalid_request' && known.param === null) this.#malformed(known);
      else this.end(known);
    }
  }

  #startUpstream({ socket, models, redact }: Upstream): void {
    socket.start({
      message: (message) =>
        this.#guarded(() => {
          this.#activeAt = this.#parts.now();
          if (typeof message === 'string') {
            this.#usage.read(message);
            this.#client?.send(models.toClient(redact(message)));
          } else this.#client?.send(message);
          this.#balance();
        }),
      drained: () => this.#balance(),
      closed: (code, reason) => this.#providerClosed(code, redact(reason)),
    });
  }

  /** Ends the session if the work on a message or a ping fails. */
  #guarded(work: () => void): void {
    if (this.#ended) return;
    try {
      work();
    } catch (error) {
      const known = RouterError.isInstance(error);
      this.end(known ? error : new RouterError('internal_error', 'The router failed to relay a message.'));
    }
  }

  #malformed(error: RouterError): void {
    this.#client?.send(errorEvent(error));
    this.#close(1007, 'invalid_request', { error });
  }

  #clientClosed(code: number, reason: string): void {
    if (this.#ended) return;
    this.#close(passedCode(code), reason, code === 1006 ? { left: true } : {});
  }

  #providerClosed(code: number, reason: string): void {
    if (this.#ended) return;
    if (code === 1006)
      this.end(new RouterError('provider_unreachable', 'The connection to the provider ended.'));
    else this.#close(passedCode(code), reason, {});
  }

  #close(code: number, reason: string, end: BodyEnd): void {
    this.#ended = true;
    const ends = [this.#client, this.#upstream?.socket];
    const passed = passedReason(reason);
    for (const each of ends) each?.close(code, passed);
    setTimeout(() => {
      for (const each of ends) each?.terminate();
    }, closeGraceMs).unref();
    this.#parts.reservation.release();
    this.#upstream?.finish({ ...end, report: this.#usage.report });
    this.#parts.released(this, end);
  }

  /** Counts what both ends hold, and stops reading an end whose other end is full. */
  #balance(): void {
    if (this.#ended) return;
    const client = this.#client;
    const provider = this.#upstream?.socket;
    const held = (client?.buffered ?? 0) + (provider?.buffered ?? 0) + this.#waitingBytes;
    const added = held - this.#held;
    try {
      if (added > 0) this.#parts.reservation.hold(added);
      else if (added < 0) this.#parts.reservation.give(-added);
      this.#held = held;
    } catch (error) {
      if (!RouterError.isInstance(error)) throw error;
      this.end(error);
      return;
    }
    const isOpening = this.#waiting !== undefined;
    if (isOpening || (provider?.unsent ?? 0) > maxUnsentBytes) this.#pause('client');
    else this.#resume('client');
    if ((client?.unsent ?? 0) > maxUnsentBytes) this.#pause('provider');
    else this.#resume('provider');
  }

  #pause(which: 'client' | 'provider'): void {
    if (this.#paused[which]) return;
    this.#paused[which] = true;
    this.#endOf(which)?.pause();
  }

  #resume(which: 'client' | 'provider'): void {
    if (!this.#paused[which]) return;
    this.#paused[which] = false;
    this.#endOf(which)?.resume();
  }

  #endOf(which: 'client' | 'provider'): SocketEnd | undefined {
    return which === 'client' ? this.#client : this.#upstream?.socket;
  }

  /** Ends the session if a peer has sent nothing since the last ping, although the router was reading. */
  #ping(now: number): void {
    const isFirst = this.#pingedAt === this.#startedAt;
    this.#pingedAt = now;
    for (const which of ['client', 'provider'] as const) {
      const end = this.#endOf(which);
      if (end === undefined) continue;
      const silent = end.bytesRead === this.#bytesAtPing[which] && !this.#paused[which];
      this.#bytesAtPing[which] = end.bytesRead;
      if (silent && !isFirst) {
        end.terminate();
        if (which === 'client') this.#clientClosed(1006, '');
        else this.#providerClosed(1006, '');
        return;
      }
      end.ping();
    }
  }
}
