ALTER TABLE "mesh"."delivery" ADD COLUMN "mail" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "mesh"."delivery" ADD COLUMN "holder" text;