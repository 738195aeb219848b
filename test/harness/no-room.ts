import { sql } from 'drizzle-orm'
import type { Store } from '@claudemesh/broker'

/** The store has no room for what matches, a condition on the new row of a message; what it gives makes room. */
export async function noRoomFor({ db }: Store, condition: string): Promise<() => Promise<void>> {
  const body = sql.raw(`begin if ${condition} then raise exception 'no room' using errcode = '53100'; end if; return new; end`)
  await db.execute(sql`create function no_room() returns trigger language plpgsql as $$ ${body} $$`)
  await db.execute(sql`create trigger no_room before insert on mesh.message for each row execute function no_room()`)
  return async () => void (await db.execute(sql`drop function no_room cascade`))
}
