CREATE TABLE "mesh"."memory" (
	"mesh_id" text NOT NULL,
	"id" text NOT NULL,
	"seq" bigint NOT NULL,
	"epoch" integer,
	"nonce" text,
	"ciphertext" text,
	"token" text,
	"content" text,
	"tags" text[] DEFAULT '{}' NOT NULL,
	"tag_words" text,
	"search_vector" "tsvector" GENERATED ALWAYS AS (setweight(to_tsvector('english', coalesce(tag_words, '')), 'C') || to_tsvector('english', content) || array_to_tsvector(array[mesh_id])) STORED,
	"size_bytes" integer NOT NULL,
	"writer_hash" text NOT NULL,
	"remembered_by" text NOT NULL,
	"remembered_by_name" text NOT NULL,
	"remembered_at" bigint NOT NULL,
	"forgotten_at" bigint,
	CONSTRAINT "memory_mesh_id_id_pk" PRIMARY KEY("mesh_id","id")
);
--> statement-breakpoint
CREATE TABLE "mesh"."memory_head" (
	"mesh_id" text PRIMARY KEY NOT NULL,
	"seq" bigint NOT NULL,
	"live" integer NOT NULL,
	"total" integer NOT NULL
);
--> statement-breakpoint
ALTER TABLE "mesh"."memory" ADD CONSTRAINT "memory_mesh_id_mesh_id_fk" FOREIGN KEY ("mesh_id") REFERENCES "mesh"."mesh"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "mesh"."memory_head" ADD CONSTRAINT "memory_head_mesh_id_mesh_id_fk" FOREIGN KEY ("mesh_id") REFERENCES "mesh"."mesh"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "memory_seq_idx" ON "mesh"."memory" USING btree ("mesh_id","seq");--> statement-breakpoint
CREATE INDEX "memory_search_idx" ON "mesh"."memory" USING gin ("search_vector") WHERE forgotten_at is null;