--
-- PostgreSQL database dump
--

\restrict 2lKMG4MEG3gjpgDeDnEzjbwPk0o672cbOfTVJJ2JupDKQU1gdJCm1cWh58bSmiI

-- Dumped from database version 15.20 (Debian 15.20-0+deb12u1)
-- Dumped by pg_dump version 15.20 (Debian 15.20-0+deb12u1)

-- Started on 2026-11-24 12:30:43 CET

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- TOC entry 215 (class 1259 OID 16386)
-- Name: bookings; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.bookings (
    id bigint NOT NULL,
    booked_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);


ALTER TABLE public.bookings OWNER TO postgres;

--
-- TOC entry 214 (class 1259 OID 16385)
-- Name: bookings_id_seq; Type: SEQUENCE; Schema: public; Owner: postgres
--

ALTER TABLE public.bookings ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.bookings_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- TOC entry 216 (class 1259 OID 16392)
-- Name: v; Type: VIEW; Schema: public; Owner: postgres
--

CREATE VIEW public.v AS
 SELECT bookings.id,
    bookings.booked_at
   FROM public.bookings;


ALTER TABLE public.v OWNER TO postgres;

--
-- TOC entry 3348 (class 0 OID 16386)
-- Dependencies: 215
-- Data for Name: bookings; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.bookings (id, booked_at) FROM stdin;
1	2026-11-24 11:30:43.14032+00
2	2026-11-24 11:30:43.140401+00
3	2026-11-24 11:30:43.140403+00
4	2026-11-24 11:30:43.140404+00
5	2026-11-24 11:30:43.140405+00
\.


--
-- TOC entry 3354 (class 0 OID 0)
-- Dependencies: 214
-- Name: bookings_id_seq; Type: SEQUENCE SET; Schema: public; Owner: postgres
--

SELECT pg_catalog.setval('public.bookings_id_seq', 5, true);


--
-- TOC entry 3203 (class 2606 OID 16391)
-- Name: bookings bookings_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.bookings
    ADD CONSTRAINT bookings_pkey PRIMARY KEY (id);


-- Completed on 2026-11-24 12:30:43 CET

--
-- PostgreSQL database dump complete
--

\unrestrict 2lKMG4MEG3gjpgDeDnEzjbwPk0o672cbOfTVJJ2JupDKQU1gdJCm1cWh58bSmiI

