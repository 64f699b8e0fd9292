-- A step without content.
SELECT TRUE;
