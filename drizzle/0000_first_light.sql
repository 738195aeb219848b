CREATE SCHEMA "mesh";
--> statement-breakpoint
CREATE TABLE "mesh"."delivery" (
	"mesh_id" text NOT NULL,
	"message_id" text NOT NULL,
	"recipient_pubkey" text NOT NULL,
	"seq" bigint GENERATED ALWAYS AS IDENTITY (sequence name "mesh"."delivery_seq_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"sender_pubkey" text NOT NULL,
	"wrap" text,
	"size_bytes" integer NOT NULL,
	"rung" text NOT NULL,
	"reason" text,
	"at" bigint NOT NULL,
	CONSTRAINT "delivery_message_id_recipient_pubkey_mesh_id_pk" PRIMARY KEY("message_id","recipient_pubkey","mesh_id")
);
--> statement-breakpoint
CREATE TABLE "mesh"."invite" (
	"mesh_id" text NOT NULL,
	"pubkey" text NOT NULL,
	"chain" text[] NOT NULL,
	"max" integer NOT NULL,
	"used" integer DEFAULT 0 NOT NULL,
	"expires_at" bigint NOT NULL,
	"created_at" bigint NOT NULL,
	CONSTRAINT "invite_mesh_id_pubkey_pk" PRIMARY KEY("mesh_id","pubkey")
);
--> statement-breakpoint
CREATE TABLE "mesh"."member" (
	"mesh_id" text NOT NULL,
	"id" text NOT NULL,
	"pubkey" text NOT NULL,
	"name" text NOT NULL,
	"role" text NOT NULL,
	"chain" text[] NOT NULL,
	"invite_pubkey" text,
	"created_at" bigint NOT NULL,
	CONSTRAINT "member_mesh_id_id_pk" PRIMARY KEY("mesh_id","id")
);
--> statement-breakpoint
CREATE TABLE "mesh"."mesh" (
	"id" text PRIMARY KEY NOT NULL,
	"slug" text NOT NULL,
	"root_pubkey" text NOT NULL,
	"policy" text NOT NULL,
	"policy_version" integer NOT NULL,
	"created_at" bigint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "mesh"."message" (
	"mesh_id" text NOT NULL,
	"id" text NOT NULL,
	"client_id" text NOT NULL,
	"sender_pubkey" text NOT NULL,
	"sender_member_id" text NOT NULL,
	"target_spec" text NOT NULL,
	"priority" text NOT NULL,
	"nonce" text NOT NULL,
	"ciphertext" text NOT NULL,
	"created_at" bigint NOT NULL,
	CONSTRAINT "message_id_mesh_id_pk" PRIMARY KEY("id","mesh_id")
);
--> statement-breakpoint
CREATE TABLE "mesh"."presence" (
	"mesh_id" text NOT NULL,
	"session_pubkey" text NOT NULL,
	"id" text NOT NULL,
	"member_id" text NOT NULL,
	"member_pubkey" text NOT NULL,
	"member_name" text NOT NULL,
	"chain" text[] NOT NULL,
	"presence" text NOT NULL,
	"seq" bigint NOT NULL,
	"groups" jsonb NOT NULL,
	"status" text NOT NULL,
	"live" boolean NOT NULL,
	"disconnected_at" bigint,
	"expires_at" bigint NOT NULL,
	"connected_at" bigint NOT NULL,
	CONSTRAINT "presence_mesh_id_session_pubkey_pk" PRIMARY KEY("mesh_id","session_pubkey")
);
--> statement-breakpoint
ALTER TABLE "mesh"."invite" ADD CONSTRAINT "invite_mesh_id_mesh_id_fk" FOREIGN KEY ("mesh_id") REFERENCES "mesh"."mesh"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "mesh"."member" ADD CONSTRAINT "member_mesh_id_mesh_id_fk" FOREIGN KEY ("mesh_id") REFERENCES "mesh"."mesh"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "mesh"."presence" ADD CONSTRAINT "presence_mesh_id_mesh_id_fk" FOREIGN KEY ("mesh_id") REFERENCES "mesh"."mesh"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "delivery_queue_idx" ON "mesh"."delivery" USING btree ("recipient_pubkey","mesh_id","seq") WHERE rung = 'stored';--> statement-breakpoint
CREATE INDEX "invite_pubkey_idx" ON "mesh"."invite" USING btree ("pubkey");--> statement-breakpoint
CREATE INDEX "message_created_idx" ON "mesh"."message" USING brin ("created_at");--> statement-breakpoint
CREATE INDEX "presence_live_idx" ON "mesh"."presence" USING btree ("mesh_id") WHERE live;--> statement-breakpoint
CREATE INDEX "presence_expires_idx" ON "mesh"."presence" USING btree ("expires_at");