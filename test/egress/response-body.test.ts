import { expect, it } from 'vitest';
import { ResponseBody } from '../../src/egress/response-body.ts';

/** A body whose provider notes what it is told. */
function opened(): { body: ResponseBody; told: string[] } {
  const told: string[] = [];
  const body = new ResponseBody({
    pause: () => told.push('pause'),
    resume: () => told.push('resume'),
    abort: () => told.push('abort'),
  });
  return { body, told };
}

const bytes = (length: number, fill = 'x') => Buffer.alloc(length, fill);

it('pauses the provider at 64 KiB of buffered bytes, and resumes it when they are read', () => {
  const { body, told } = opened();
  body.push(bytes(65_535));
  expect(told).toEqual([]);
  body.push(bytes(1));
  body.push(bytes(1));
  expect(told).toEqual(['pause']);
  expect(body.take()?.length).toBe(65_535);
  expect(told).toEqual(['pause']);
  expect(body.take()?.length).toBe(2);
  expect(told).toEqual(['pause', 'resume']);
  expect(body.take()).toBeUndefined();
});

it('joins small chunks, up to the size of the pool of small buffers, and loses none', () => {
  const { body } = opened();
  const pieces = Array.from({ length: 300 }, (_, index) =>
    bytes(index, String.fromCharCode(97 + (index % 26))),
  );
  for (const piece of pieces) body.push(piece);
  const taken: Buffer[] = [];
  for (let next = body.take(); next !== undefined; next = body.take()) taken.push(next);
  expect(Buffer.concat(taken)).toEqual(Buffer.concat(pieces));
  expect(Math.max(...taken.map(({ length }) => length))).toBeLessThan(Buffer.poolSize / 2);
  expect(taken.length).toBeLessThan(20);
});

it('continues a body behind a read limit, although its provider was paused', async () => {
  const { body, told } = opened();
  body.push(bytes(100_000));
  expect(await body.upTo(1_000)).toMatchObject({ size: 100_000, complete: false });
  const more = body.changed();
  expect(told).toEqual(['pause', 'resume']);
  body.push(bytes(10, 'y'));
  await more;
  expect(body.take()).toEqual(bytes(10, 'y'));
});

it('what came before a failure can be taken, and then the failure is told', async () => {
  const { body } = opened();
  body.push(bytes(3));
  body.fail(new Error('reset'));
  const read: Buffer[] = [];
  const reading = async () => {
    for await (const chunk of body) read.push(chunk);
  };
  await expect(reading()).rejects.toThrow('reset');
  expect(read).toEqual([bytes(3)]);
  await expect(body.upTo(10)).rejects.toThrow('reset');
});

it('reports immediately that it broke off, even without a reader; and reports an earlier failure too', async () => {
  const { body } = opened();
  let told = 0;
  body.whenBroken(() => {
    told += 1;
  });
  body.fail(new Error('reset'));
  expect(told).toBe(1);
  await new Promise<void>((resolve) => body.whenBroken(resolve));
});

it('aborts the provider when its reader stops, unless the provider has sent everything', async () => {
  const left = opened();
  left.body.push(bytes(5));
  for await (const _ of left.body) break;
  expect(left.told).toEqual(['abort']);
  expect(left.body.over).toBe(true);
  left.body.push(bytes(5));
  expect(left.body.take()).toBeUndefined();

  const whole = opened();
  whole.body.push(bytes(5));
  whole.body.end();
  whole.body.destroy();
  expect(whole.told).toEqual([]);
});

it('a response of more than 64 KiB waited for ever, if its rest arrived while its provider was resumed', async () => {
  const body = new ResponseBody({
    pause: () => {},
    resume() {
      body.push(bytes(10, 'y'));
      body.end();
    },
    abort: () => {},
  });
  body.push(bytes(70_000));
  expect(await body.upTo(1_000_000)).toMatchObject({ size: 70_010, complete: true });
});
