CREATE TABLE "mesh"."file" (
	"mesh_id" text NOT NULL,
	"id" text NOT NULL,
	"place" bigint GENERATED ALWAYS AS IDENTITY (sequence name "mesh"."file_place_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"size_bytes" bigint NOT NULL,
	"persistent" boolean NOT NULL,
	"uploaded_by_session" text NOT NULL,
	"uploaded_by_member" text NOT NULL,
	"uploaded_at" bigint NOT NULL,
	"finished_at" bigint,
	"target_spec" text,
	"record" jsonb,
	"writer_hash" text,
	"expires_at" bigint,
	"deleted_at" bigint,
	"removed_at" bigint,
	CONSTRAINT "file_mesh_id_id_pk" PRIMARY KEY("mesh_id","id")
);
--> statement-breakpoint
CREATE TABLE "mesh"."file_access" (
	"mesh_id" text NOT NULL,
	"file_id" text NOT NULL,
	"peer_session_pubkey" text NOT NULL,
	"peer_member_id" text NOT NULL,
	"peer_name" text NOT NULL,
	"accessed_at" bigint NOT NULL,
	CONSTRAINT "file_access_mesh_id_file_id_peer_session_pubkey_pk" PRIMARY KEY("mesh_id","file_id","peer_session_pubkey")
);
--> statement-breakpoint
CREATE TABLE "mesh"."file_audience" (
	"mesh_id" text NOT NULL,
	"file_id" text NOT NULL,
	"session_pubkey" text NOT NULL,
	"member_id" text NOT NULL,
	"peer_name" text NOT NULL,
	"read_at" bigint,
	CONSTRAINT "file_audience_mesh_id_file_id_session_pubkey_pk" PRIMARY KEY("mesh_id","file_id","session_pubkey")
);
--> statement-breakpoint
ALTER TABLE "mesh"."file" ADD CONSTRAINT "file_mesh_id_mesh_id_fk" FOREIGN KEY ("mesh_id") REFERENCES "mesh"."mesh"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "mesh"."file_access" ADD CONSTRAINT "file_access_mesh_id_file_id_file_mesh_id_id_fk" FOREIGN KEY ("mesh_id","file_id") REFERENCES "mesh"."file"("mesh_id","id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "mesh"."file_audience" ADD CONSTRAINT "file_audience_mesh_id_file_id_file_mesh_id_id_fk" FOREIGN KEY ("mesh_id","file_id") REFERENCES "mesh"."file"("mesh_id","id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "file_list_idx" ON "mesh"."file" USING btree ("mesh_id","place") WHERE persistent and deleted_at is null;--> statement-breakpoint
CREATE INDEX "file_expires_idx" ON "mesh"."file" USING btree ("expires_at") WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX "file_removal_idx" ON "mesh"."file" USING btree ("deleted_at") WHERE deleted_at is not null;