CREATE TABLE "mesh"."state" (
	"mesh_id" text NOT NULL,
	"id" text NOT NULL,
	"version" integer NOT NULL,
	"key" text,
	"value" jsonb,
	"epoch" integer,
	"nonce" text,
	"ciphertext" text,
	"deleted" boolean NOT NULL,
	"size_bytes" integer NOT NULL,
	"writer_hash" text NOT NULL,
	"updated_by_presence" text NOT NULL,
	"updated_by_name" text NOT NULL,
	"updated_at" bigint NOT NULL,
	CONSTRAINT "state_mesh_id_id_pk" PRIMARY KEY("mesh_id","id")
);
--> statement-breakpoint
CREATE TABLE "mesh"."writer" (
	"mesh_id" text NOT NULL,
	"hash" text NOT NULL,
	"chain" text[] NOT NULL,
	CONSTRAINT "writer_mesh_id_hash_pk" PRIMARY KEY("mesh_id","hash")
);
--> statement-breakpoint
ALTER TABLE "mesh"."mesh" ADD COLUMN "state_floor" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "mesh"."state" ADD CONSTRAINT "state_mesh_id_mesh_id_fk" FOREIGN KEY ("mesh_id") REFERENCES "mesh"."mesh"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "mesh"."writer" ADD CONSTRAINT "writer_mesh_id_mesh_id_fk" FOREIGN KEY ("mesh_id") REFERENCES "mesh"."mesh"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "state_deleted_idx" ON "mesh"."state" USING btree ("updated_at") WHERE deleted;