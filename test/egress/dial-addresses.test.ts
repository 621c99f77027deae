import { Socket } from 'node:net';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { dialAddresses } from '../../src/egress/sockets/dial-addresses.ts';

/** What each dialled address does: the test says when. */
let dialled: Map<string, { socket: Socket; answer: (error?: Error) => void }>;
let outcome: unknown[];

beforeEach(() => {
  vi.useFakeTimers();
  dialled = new Map();
  outcome = [];
});
afterEach(() => void vi.useRealTimers());

function start(...addresses: string[]): () => void {
  return dialAddresses(
    addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    (address, callback) => {
      const socket = new Socket().on('error', () => {});
      const answer = (error?: Error) => callback(error ?? null, error === undefined ? socket : null);
      dialled.set(address, { socket, answer });
      return socket;
    },
    (error, socket) => outcome.push(error ?? socket),
  );
}

const refused = (host: string) => new Error(`refused by ${host}`);

it('an IPv4 that needs over 250 ms was given up when IPv6 refused', () => {
  start('1.1.1.1', '2606::1');
  expect([...dialled.keys()]).toEqual(['1.1.1.1']);
  vi.advanceTimersByTime(250);
  expect([...dialled.keys()]).toEqual(['1.1.1.1', '2606::1']);
  dialled.get('2606::1')?.answer(refused('v6'));
  vi.advanceTimersByTime(5_000);
  expect(outcome).toEqual([]);
  dialled.get('1.1.1.1')?.answer();
  expect(outcome).toEqual([dialled.get('1.1.1.1')?.socket]);
});

it('an IPv6 that needs over 250 ms is waited for when IPv4 refuses', () => {
  start('2606::1', '1.1.1.1');
  vi.advanceTimersByTime(250);
  dialled.get('1.1.1.1')?.answer(refused('v4'));
  dialled.get('2606::1')?.answer();
  expect(outcome).toEqual([dialled.get('2606::1')?.socket]);
});

it('tries the next address immediately when one fails, alternating between families', () => {
  start('1.1.1.1', '1.1.1.2', '1.1.1.3', '2606::1');
  for (const address of ['1.1.1.1', '2606::1', '1.1.1.2', '1.1.1.3'])
    dialled.get(address)?.answer(refused(address));
  expect([...dialled.keys()]).toEqual(['1.1.1.1', '2606::1', '1.1.1.2', '1.1.1.3']);
  expect(outcome).toEqual([refused('1.1.1.1')]);
  expect(vi.getTimerCount()).toBe(0);
});

it('closes the slower connection, even if it connects later', () => {
  start('1.1.1.1', '1.1.1.2');
  vi.advanceTimersByTime(250);
  const [slow, fast] = [...dialled.values()];
  fast?.answer();
  expect([slow?.socket.destroyed, fast?.socket.destroyed]).toEqual([true, false]);
  slow?.answer();
  expect(outcome).toEqual([fast?.socket]);
});

it('stopped, it closes what it dialled and tries no more', () => {
  const stop = start('1.1.1.1', '1.1.1.2');
  stop();
  vi.advanceTimersByTime(1_000);
  expect(dialled.size).toBe(1);
  expect(dialled.get('1.1.1.1')?.socket.destroyed).toBe(true);
  expect(outcome).toEqual([]);
});

it('a name with hundreds of addresses is no way to have us dial them all', () => {
  start(...Array.from({ length: 200 }, (_, at) => `1.1.1.${at}`));
  for (let at = 0; at < 200; at++) dialled.get(`1.1.1.${at}`)?.answer(refused('all'));
  expect(dialled.size).toBe(8);
  expect(outcome).toHaveLength(1);
});
