/** Loaded into a process that is not ours, so that it tells what it uses. */
import { answerToParent } from './http-child.ts';

answerToParent(Number(process.env.BENCH_PORT));
