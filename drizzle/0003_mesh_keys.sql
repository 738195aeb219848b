CREATE TABLE "mesh"."epoch" (
	"mesh_id" text NOT NULL,
	"number" integer NOT NULL,
	"mk" text NOT NULL,
	"back" jsonb,
	"created_at" bigint NOT NULL,
	CONSTRAINT "epoch_mesh_id_number_pk" PRIMARY KEY("mesh_id","number")
);
--> statement-breakpoint
CREATE TABLE "mesh"."keybox" (
	"mesh_id" text NOT NULL,
	"mk" text NOT NULL,
	"epoch" integer NOT NULL,
	"reader" text NOT NULL,
	"by" text NOT NULL,
	"nonce" text NOT NULL,
	"ciphertext" text NOT NULL,
	"created_at" bigint NOT NULL,
	CONSTRAINT "keybox_mesh_id_mk_reader_by_pk" PRIMARY KEY("mesh_id","mk","reader","by")
);
--> statement-breakpoint
ALTER TABLE "mesh"."epoch" ADD CONSTRAINT "epoch_mesh_id_mesh_id_fk" FOREIGN KEY ("mesh_id") REFERENCES "mesh"."mesh"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "mesh"."keybox" ADD CONSTRAINT "keybox_mesh_id_mesh_id_fk" FOREIGN KEY ("mesh_id") REFERENCES "mesh"."mesh"("id") ON DELETE cascade ON UPDATE no action;